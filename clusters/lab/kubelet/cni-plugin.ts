import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import type { LabNode } from '../node/node.ts'
import type { NetworkSandbox } from './cni.ts'

/** What a plugin gets on its standard input. */
export interface PluginConfiguration {
  readonly type: string
  readonly [key: string]: unknown
}

/** A plugin's result, as far as the kubelet reads it. */
export interface PluginResult {
  readonly ips?: readonly { readonly address: string }[]
  readonly [key: string]: unknown
}

const path = '/opt/cni/bin'

/**
 * Runs one plugin on the node.
 * @returns its result; undefined if it printed none
 * @throws Error in the words of containerd's CNI library
 */
export async function runPlugin(
  node: LabNode,
  command: 'ADD' | 'DEL',
  configuration: PluginConfiguration,
  sandbox: NetworkSandbox,
): Promise<PluginResult | undefined> {
  const { pod } = sandbox
  const env = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: sandbox.id,
    CNI_NETNS: sandbox.netns,
    CNI_IFNAME: 'eth0',
    CNI_ARGS: [
      'IgnoreUnknown=1',
      `K8S_POD_NAMESPACE=${pod.namespace}`,
      `K8S_POD_NAME=${pod.name}`,
      `K8S_POD_INFRA_CONTAINER_ID=${sandbox.id}`,
      `K8S_POD_UID=${pod.uid}`,
    ].join(';'),
    CNI_PATH: path,
  }
  const named = `plugin type=${JSON.stringify(configuration.type)} name=${JSON.stringify(configuration.name)}`
  const how = `${named} failed (${command.toLowerCase()})`
  if (configuration.type.includes('/')) throw new Error(`${how}: invalid plugin name`)
  const child = node.spawn([`${path}/${configuration.type}`], { env })
  // A plugin may end without having read its configuration.
  child.stdin?.on('error', () => {}).end(JSON.stringify(configuration))
  const closed = once(child, 'close') as Promise<[number | null, string | null]>
  const [out, problems, [code, signal]] = await Promise.all([text(child.stdout!), text(child.stderr!), closed])
  const result = parse(out)
  if (code === 0) {
    if (result === undefined && out.trim() !== '') throw new Error(`${how}: its result is not JSON: ${out.slice(0, 200)}`)
    return result
  }
  if (typeof result?.msg === 'string' && result.msg !== '') {
    const details = typeof result.details === 'string' && result.details !== '' ? `; ${result.details}` : ''
    throw new Error(`${how}: ${result.msg}${details}`)
  }
  const end = signal ? `signal ${signal}` : `exit code ${code}`
  throw new Error(`${how}: netplugin failed (${end}): ${(problems.trim() || out.trim()).slice(-2000) || 'no error message'}`)
}

function parse(text: string): PluginResult | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as PluginResult) : undefined
  } catch {
    return undefined
  }
}
