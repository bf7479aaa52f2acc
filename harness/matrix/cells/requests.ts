import { type Case, cell } from '../cell.ts'

const placements = ['same-node', 'other-node'] as const
const addresses = ['pod-ip', 'cluster-ip'] as const
const protocols = ['http', 'tcp'] as const

/** The quick matrix: with the quick cells of other kinds, each value of each axis, and each pair that takes another path, at least once. */
const quick = new Set([
  'mesh-to-mesh/same-node/pod-ip/http',
  'mesh-to-mesh/other-node/pod-ip/tcp',
  'mesh-to-mesh/other-node/cluster-ip/http',
  'mesh-to-plain/same-node/pod-ip/tcp',
  'mesh-to-plain/other-node/cluster-ip/http',
  'plain-to-mesh/same-node/pod-ip/http',
  'plain-to-mesh/other-node/cluster-ip/tcp',
  'probe/same-node/pod-ip/http',
])

/** Plain requests and their answers: every traffic from everywhere, probes, one tunnel for two, and the two policies. */
export function requestCells(mode: string): Case[] {
  const crossed = (['mesh-to-mesh', 'mesh-to-plain', 'plain-to-mesh'] as const).flatMap((traffic) =>
    placements.flatMap((placement) =>
      addresses.flatMap((address) => protocols.map((protocol) => ({ traffic, placement, address, protocol }))),
    ),
  )
  const probes = protocols.map((protocol) => ({ traffic: 'probe', placement: 'same-node', address: 'pod-ip', protocol }) as const)
  const across = { traffic: 'mesh-to-mesh', placement: 'other-node', address: 'pod-ip', protocol: 'http' } as const
  return [
    ...[...crossed, ...probes].map((axes) => {
      const plain = cell(mode, axes)
      return { ...plain, quick: quick.has(plain.id.slice(mode.length + 1)) }
    }),
    cell(mode, across, 'pooled', { connection: 'pooled' }),
    cell(mode, across, 'allowed', { policy: 'allow' }),
    cell(mode, across, 'denied', { policy: 'deny' }),
  ]
}
