/** What a case is: one cell of the matrix, without a word about how a mode carries it. */
export interface Case {
  /** `MODE/TRAFFIC/PLACEMENT/ADDRESS/PROTOCOL[/VARIANT]`, unique in a run. */
  readonly id: string
  readonly mode: string
  readonly traffic: Traffic
  readonly placement: 'same-node' | 'other-node'
  readonly address: 'pod-ip' | 'cluster-ip'
  readonly protocol: 'http' | 'tcp'
  readonly policy: 'none' | 'allow' | 'deny'
  /** `pooled`: a request before it opened the tunnel that this one must reuse. */
  readonly connection: 'new' | 'pooled'
  /** Part of `--quick`. */
  readonly quick: boolean
}

export type Traffic = 'mesh-to-mesh' | 'mesh-to-plain' | 'plain-to-mesh' | 'probe'

const placements = ['same-node', 'other-node'] as const
const addresses = ['pod-ip', 'cluster-ip'] as const
const protocols = ['http', 'tcp'] as const

/** The quick matrix: each value of each axis, and each pair that takes another path, at least once. */
const quick = new Set([
  'mesh-to-mesh/same-node/pod-ip/http',
  'mesh-to-mesh/same-node/cluster-ip/tcp',
  'mesh-to-mesh/other-node/pod-ip/tcp',
  'mesh-to-mesh/other-node/cluster-ip/http',
  'mesh-to-plain/same-node/pod-ip/tcp',
  'mesh-to-plain/other-node/cluster-ip/http',
  'plain-to-mesh/same-node/pod-ip/http',
  'plain-to-mesh/other-node/cluster-ip/tcp',
  'probe/same-node/pod-ip/http',
])

/** All cells of one mode, in the order in which they run. */
export function casesOf(mode: string): Case[] {
  const cell = (
    traffic: Traffic,
    placement: Case['placement'],
    address: Case['address'],
    protocol: Case['protocol'],
    variant?: { name: string; policy?: Case['policy']; connection?: Case['connection'] },
  ): Case => {
    const name = [traffic, placement, address, protocol].join('/')
    return {
      id: [mode, name, variant?.name].filter(Boolean).join('/'),
      mode,
      traffic,
      placement,
      address,
      protocol,
      policy: variant?.policy ?? 'none',
      connection: variant?.connection ?? 'new',
      quick: variant ? true : quick.has(name),
    }
  }
  const cells = (['mesh-to-mesh', 'mesh-to-plain', 'plain-to-mesh'] as const).flatMap((traffic) =>
    placements.flatMap((placement) =>
      addresses.flatMap((address) => protocols.map((protocol) => cell(traffic, placement, address, protocol))),
    ),
  )
  return [
    ...cells,
    cell('probe', 'same-node', 'pod-ip', 'http'),
    cell('probe', 'same-node', 'pod-ip', 'tcp'),
    cell('mesh-to-mesh', 'other-node', 'pod-ip', 'http', { name: 'pooled', connection: 'pooled' }),
    cell('mesh-to-mesh', 'other-node', 'pod-ip', 'http', { name: 'allowed', policy: 'allow' }),
    cell('mesh-to-mesh', 'other-node', 'pod-ip', 'http', { name: 'denied', policy: 'deny' }),
  ]
}
