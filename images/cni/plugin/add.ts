import { defaultSelectors, type EnablementSelector, isEligible } from '../shared/eligibility.ts'
import { type AddEvent, type EventIp, runFiles } from '../shared/event.ts'
import type { NodeFile } from '../shared/node-file.ts'
import { toBase64 } from './base64.ts'
import { fetchPod, type PodFacts, readKubeconfig } from './kubernetes.ts'
import type { PluginLog } from './log.ts'
import type { Platform } from './platform.ts'
import { CniError, type CniResult, code, type Invocation, isObject, type NetworkConf } from './protocol.ts'

/** The conf keys that the agent writes, with upstream's defaults. */
export interface PluginConf {
  readonly runDirectory: string
  readonly logLevel: unknown
  readonly ambient: boolean
  readonly selectors: readonly EnablementSelector[]
  readonly excludeNamespaces: readonly string[]
  readonly systemNamespace: string
  readonly annotationOptsOut: boolean
  /** Where the agent tells how the node stands; undefined: this mode has no such file. */
  readonly nodeFile: string | undefined
  readonly attempts: number
}

/** @throws CniError (code 7) naming the key that has the wrong type */
export function pluginConf(conf: NetworkConf): PluginConf {
  const read = <T>(key: string, fallback: T, ok: (value: unknown) => boolean, expected: string): T => {
    const value = conf[key]
    if (value === undefined || value === null) return fallback
    if (!ok(value)) throw new CniError(code.invalidConfig, `istio-cni configuration: ${key} must be ${expected}`, JSON.stringify(value))
    return value as T
  }
  const isString = (v: unknown) => typeof v === 'string'
  const isBoolean = (v: unknown) => typeof v === 'boolean'
  const isListOf = (item: (v: unknown) => boolean) => (v: unknown) => Array.isArray(v) && v.every(item)
  return {
    runDirectory: read('cni_agent_run_dir', '/var/run/istio-cni', isString, 'a string'),
    logLevel: read('plugin_log_level', 'info', isString, 'a string'),
    ambient: read('ambient_enabled', false, isBoolean, 'true or false'),
    selectors: read('enablement_selectors', defaultSelectors, isListOf(isObject), 'a list of objects'),
    excludeNamespaces: read<readonly string[]>('exclude_namespaces', [], isListOf(isString), 'a list of strings'),
    systemNamespace: read('pod_namespace', 'istio-system', isString, 'a string'),
    annotationOptsOut: read('annotation_opts_out', false, isBoolean, 'true or false'),
    nodeFile: read<string | undefined>('node_file', undefined, isString, 'a string'),
    attempts: read('enable_ambient_detection_retry', false, isBoolean, 'true or false') ? 30 : 2,
  }
}

/** ADD: returns when the pod may start, that is when it is none of the mesh's or the agent has enrolled it. Any doubt is an error: the runtime tries again. */
export async function add(platform: Platform, invocation: Invocation, conf: PluginConf, log: PluginLog): Promise<void> {
  const { K8S_POD_NAME: name = '', K8S_POD_NAMESPACE: namespace = '' } = invocation.args
  if (name === '' || namespace === '') return log.log('debug', 'no pod name or namespace in CNI_ARGS: not a pod of Kubernetes')
  const pod = { pod: `${namespace}/${name}` }
  // The agent's own pod must start while no agent answers.
  if (name.startsWith('istio-cni-node-') && namespace === conf.systemNamespace)
    return log.log('debug', 'is the CNI agent itself, skipped', pod)
  if (conf.excludeNamespaces.includes(namespace)) return log.log('debug', 'namespace is excluded', pod)
  const access = await readKubeconfig(platform, `${conf.runDirectory}/${runFiles.kubeconfig}`)
  const facts = await fetchPod(platform, access, namespace, name, conf.attempts)
  if (conf.ambient && isEligible({ ...facts, namespace }, facts.namespaceLabels, conf)) {
    if (conf.nodeFile !== undefined) needProxy(platform, conf.nodeFile)
    await pushEvent(platform, conf.runDirectory, {
      Netns: invocation.netns,
      PodName: name,
      PodNamespace: namespace,
      IPs: eventIps(invocation.conf.prevResult),
    })
    return log.log('debug', 'enrolled in the ambient mesh', pod)
  }
  log.log('info', whyNoSidecar(facts, namespace, name), pod)
}

/** A pod of the mesh waits until the node has a proxy; also where no agent is there to say so. @throws Error */
function needProxy(platform: Platform, path: string): void {
  const fail = (reason: string) => new Error(`no ztunnel is ready on this node: ${path} ${reason}`)
  let file: Partial<NodeFile>
  try {
    file = JSON.parse(platform.read(path))
  } catch (error) {
    throw fail(`cannot be read: ${(error as Error).message}`)
  }
  if (file?.ztunnelReady !== true) throw fail(`says ${JSON.stringify(file)}`)
}

async function pushEvent(platform: Platform, runDirectory: string, event: AddEvent): Promise<void> {
  const fail = (reason: string) => new Error(`istio-cni cmdAdd failed to contact node Istio CNI agent: ${reason}`)
  const headers = { 'content-type': 'application/json' }
  const call = { method: 'POST', path: '/cmdadd', headers, body: JSON.stringify(event), timeoutMs: 5000 } as const
  const answer = await platform.overUnixSocket(`${runDirectory}/${runFiles.eventSocket}`, call).catch((error: Error) => {
    throw fail(error.message)
  })
  if (answer.status !== 200) throw fail(`unable to push CNI event (status code ${answer.status}): ${answer.body}`)
}

/** Upstream's log lines for pods that it leaves alone. */
function whyNoSidecar(facts: PodFacts, namespace: string, name: string): string {
  const proxy = facts.containers.find((c) => c.name === 'istio-proxy')
  if (!proxy) return `excluded because it does not have istio-proxy container (have [${facts.containers.map((c) => c.name).join(' ')}])`
  const type = proxy.args[0] === 'proxy' ? proxy.args[1] : undefined
  if (type && type !== 'sidecar') return `excluded ${namespace}/${name} pod because it has proxy type ${type}`
  return 'excluded because sidecars are not redirected by this plugin'
}

/** The addresses of a result as the agent wants them. @throws CniError (code 7) for text that is no address */
export function eventIps(result: CniResult | undefined): EventIp[] {
  const old = [result?.ip4, result?.ip6].filter((x) => x !== undefined).map(({ ip, gateway }) => ({ address: ip, gateway }))
  const all: readonly { interface?: number; address?: string | undefined; gateway?: string | undefined }[] = result?.ips ?? old
  return all.map(({ interface: index, address = '', gateway }) => {
    const [ip = '', length = ''] = address.split('/')
    const bytes = ip.includes(':') ? 16 : 4
    const bits = Number(length)
    if (ip === '' || length === '' || !Number.isInteger(bits) || bits < 0 || bits > bytes * 8)
      throw new CniError(code.invalidConfig, 'prevResult: expected an address such as 10.244.1.5/24', address)
    const mask = Uint8Array.from({ length: bytes }, (_, i) => (0xff << (8 - Math.min(8, Math.max(0, bits - 8 * i)))) & 0xff)
    return { Interface: index ?? null, Address: { IP: ip, Mask: toBase64(mask) }, Gateway: gateway ?? '' }
  })
}
