import { across, netns } from '../../network.ts'
import { flow, hop, type Leg, leg, log, trace } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import type { Release } from '../releases.ts'
import { PROXY_MARK, untouched } from '../rules.ts'

/** HBONE from pod to pod: facts 1.6 rows 4 and 10, 4.2, 4.8; the network between as in any cluster. */
export function ztunnelToZtunnel(c: BoundCase, { entry }: Release, refused: boolean): Leg {
  const tunnel = flow(`${c.client.ip}:$hbone`, `${c.server.ip}:15008`)
  const from = netns(c.client)
  const to = netns(c.server)
  const identities = { 'src.identity': c.client.identity, 'dst.identity': c.server.identity }
  const outbound = { 'src.addr': `${c.client.ip}:$turned`, 'dst.addr': tunnel.to, 'dst.hbone_addr': c.endpoint, direction: 'outbound' }
  const inbound = { 'src.addr': tunnel.from, 'dst.addr': tunnel.to, 'dst.hbone_addr': c.endpoint, direction: 'inbound' }
  return leg(
    'ztunnel-ztunnel',
    'ztunnel → ztunnel (HBONE)',
    'sealed',
    `inpod-mode ${entry.facts}, 1.6 rows 4 and 10, 4.2, 4.8`,
    [
      hop(
        'leaves ztunnel uncaptured',
        from,
        trace(from, 'syn', tunnel, 'nat OUTPUT', untouched, PROXY_MARK),
        trace(from, 'data', tunnel, 'mangle OUTPUT', untouched, PROXY_MARK),
      ),
      ...across(c, tunnel, 'sealed', c.client, c.server),
      ...entry.hbone(c),
      refused
        ? hop(
            'is refused by policy',
            to,
            log(to, 'connection complete', { ...inbound, ...identities, error: 'connection closed due to policy rejection: *' }),
          )
        : hop('is terminated with both identities', to, log(to, 'connection complete', { ...inbound, ...identities }, ['error'])),
      refused
        ? hop(
            'is told by the client side',
            from,
            log(from, 'connection complete', { ...outbound, ...identities, error: '*401 Unauthorized*' }),
          )
        : hop('is told by the client side', from, log(from, 'connection complete', { ...outbound, ...identities }, ['error'])),
    ],
    c.case.connection === 'pooled',
  )
}
