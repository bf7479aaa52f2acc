import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LabNode } from '../node/node.ts'
import { type PluginConfiguration, type PluginResult, runPlugin } from './cni-plugin.ts'

/** What the plugins are told about a pod's sandbox. */
export interface NetworkSandbox {
  readonly id: string
  /** The namespace's file on the node, such as `/var/run/netns/cni-…`. */
  readonly netns: string
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string }
}

/** A network configuration list (CNI specification, section 1). */
export interface NetworkList {
  readonly file: string
  readonly name: string
  readonly cniVersion: string
  readonly plugins: readonly PluginConfiguration[]
}

const directory = '/etc/cni/net.d'

/**
 * The network that is in force: the first file of /etc/cni/net.d in lexicographic order, read afresh, as containerd chooses it.
 * @throws Error that names the file, or says that there is none
 */
export function readNetwork(node: LabNode): NetworkList {
  const path = node.hostPath(directory)
  const names = readdirSync(path).filter((name) => /\.(conf|conflist|json)$/.test(name))
  const file = names.sort()[0]
  if (file === undefined) throw new Error(`cni config uninitialized: no network configuration in ${directory} of node ${node.name}`)
  let value: Record<string, unknown>
  try {
    value = JSON.parse(readFileSync(join(path, file), 'utf8'))
  } catch (error) {
    throw new Error(`CNI configuration ${directory}/${file} on node ${node.name} is not JSON: ${(error as Error).message}`)
  }
  const plugins = file.endsWith('.conflist') ? value?.plugins : [value]
  if (
    typeof value?.name !== 'string' ||
    !Array.isArray(plugins) ||
    plugins.length === 0 ||
    !plugins.every((p) => typeof p?.type === 'string')
  )
    throw new Error(`CNI configuration ${directory}/${file} on node ${node.name} needs a name and plugins that each have a type`)
  const version = typeof value.cniVersion === 'string' ? value.cniVersion : '0.1.0'
  return { file, name: value.name, cniVersion: version, plugins }
}

/** ADD: plugin after plugin, each with the result of the one before. @returns what the last one said */
export async function addNetwork(node: LabNode, network: NetworkList, sandbox: NetworkSandbox): Promise<PluginResult> {
  let result: PluginResult | undefined
  for (const plugin of network.plugins) {
    const said = await runPlugin(node, 'ADD', configuration(network, plugin, result), sandbox)
    result = said ?? result
  }
  return result ?? {}
}

/** DEL: in reverse order; a plugin that fails keeps none of the others from being called. Throws the first failure. */
export async function deleteNetwork(node: LabNode, network: NetworkList, sandbox: NetworkSandbox, result?: PluginResult): Promise<void> {
  const failures: unknown[] = []
  for (const plugin of [...network.plugins].reverse()) {
    try {
      await runPlugin(node, 'DEL', configuration(network, plugin, result), sandbox)
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
}

function configuration(network: NetworkList, plugin: PluginConfiguration, prevResult?: PluginResult): PluginConfiguration {
  return { ...plugin, name: network.name, cniVersion: network.cniVersion, ...(prevResult && { prevResult }) }
}
