import type { ApiClient } from '../api-client.ts'
import type { KubernetesObject } from '../kubernetes.ts'
import type { Topology } from '../topology.ts'
import type { NodeContainer } from './configuration.ts'
import type { Docker } from './docker/docker.ts'

/** `ptp`: as kindnet does it, a route for each pod; `bridge`: one bridge a node. */
type PrimaryNetwork = NonNullable<Topology['network']>

/** Largest frame of the containers' network. */
const mtu = 1500
/** Sorts after what a mesh may put before it, and before nothing of its own. */
const file = '/etc/cni/net.d/10-everyhop.conflist'
const ipamState = '/run/cni-ipam-state'

interface NodeObject extends KubernetesObject {
  spec: { podCIDR?: string }
  status?: { addresses?: { type: string; address: string }[]; conditions?: { type: string; status: string }[] }
}

export interface NetworkedNode extends NodeContainer {
  /** IPv4 on the containers' network. */
  readonly address: string
  readonly podCIDR: string
}

/** The network configuration of a node (CNI specification 1.0.0, section 1), with the plugins of containernetworking-plugins. */
export function networkConfiguration(network: PrimaryNetwork, podCIDR: string): object {
  const ipam = { type: 'host-local', dataDir: ipamState, routes: [{ dst: '0.0.0.0/0' }], ranges: [[{ subnet: podCIDR }]] }
  const first =
    network === 'ptp'
      ? { type: 'ptp', ipMasq: false, mtu, ipam }
      : { type: 'bridge', bridge: 'cni0', isGateway: true, ipMasq: false, hairpinMode: true, mtu, ipam }
  return { cniVersion: '1.0.0', name: 'everyhop', plugins: [first, { type: 'portmap', capabilities: { portMappings: true } }] }
}

/** Commands that lead to the other nodes' pods. */
export const routesOf = (node: NetworkedNode, all: readonly NetworkedNode[]): string[] =>
  all.filter((other) => other.name !== node.name).map(({ podCIDR, address }) => `ip route replace ${podCIDR} via ${address}`)

/** Gives pods a network, and waits until the nodes are ready. @returns the nodes with their addresses, in the order of `containers` */
export async function configureNetwork(
  docker: Docker,
  api: ApiClient,
  containers: readonly NodeContainer[],
  network: PrimaryNetwork,
  signal?: AbortSignal,
): Promise<NetworkedNode[]> {
  const wait = { timeoutMs: 120_000, ...(signal ? { signal } : {}) }
  const nodes = await api.until('/api/v1/nodes', (objects) => networked(containers, objects as NodeObject[]), wait)
  await Promise.all(
    nodes.map(async (node) => {
      const configuration = JSON.stringify(networkConfiguration(network, node.podCIDR))
      const script = [...routesOf(node, nodes), `mkdir -p /etc/cni/net.d`, `printf %s "$0" >${file}.new`, `mv ${file}.new ${file}`]
      await docker.run(['exec', '--privileged', node.container, 'sh', '-ec', script.join('\n'), configuration])
    }),
  )
  await api.until('/api/v1/nodes', (objects) => (objects as NodeObject[]).every(isReady) || undefined, wait)
  return nodes
}

function networked(containers: readonly NodeContainer[], objects: readonly NodeObject[]): NetworkedNode[] | undefined {
  const found = containers.flatMap((container) => {
    const object = objects.find((o) => o.metadata.name === container.name)
    const address = object?.status?.addresses?.find((a) => a.type === 'InternalIP')?.address
    const podCIDR = object?.spec.podCIDR
    return address && podCIDR ? [{ ...container, address, podCIDR }] : []
  })
  return found.length === containers.length ? found : undefined
}

const isReady = (node: NodeObject) => node.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false
