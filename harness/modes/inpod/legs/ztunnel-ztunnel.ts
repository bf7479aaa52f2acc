import { counted } from '../../exchange.ts'
import { across, netns } from '../../network.ts'
import { flow, hop, type Leg, leg, log, trace } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import type { Release } from '../releases.ts'
import { PROXY_MARK, untouched } from '../rules.ts'

/** How a tunnel ends: carried on; refused by policy with 401, or with 503 because it asks for one of ztunnel's own ports; cut off by a policy that came later. */
export type Ending = 'carried' | 'refused by policy' | 'refused as a call to itself' | 'cut off by policy'

/** HBONE from pod to pod: facts 1.6 rows 4 and 10, 4.2, 4.8; the network between as in any cluster. */
export function ztunnelToZtunnel(c: BoundCase, { entry }: Release, ending: Ending): Leg {
  const tunnel = flow(`${c.client.ip}:$hbone`, `${c.server.ip}:15008`)
  const from = netns(c.client)
  const to = netns(c.server)
  const identities = { 'src.identity': c.client.identity, 'dst.identity': c.server.identity }
  const arrival = { 'src.addr': tunnel.from, 'dst.addr': tunnel.to, direction: 'inbound' }
  const inbound = { ...arrival, 'dst.hbone_addr': c.endpoint, ...identities }
  const outbound = {
    'src.addr': `${c.client.ip}:$turned`,
    'dst.addr': tunnel.to,
    'dst.hbone_addr': c.endpoint,
    direction: 'outbound',
    ...identities,
  }
  const ends = {
    carried: [
      hop('is terminated with both identities', to, log(to, 'connection complete', { ...inbound, ...counted(c) }, ['error'])),
      hop('is told by the client side', from, log(from, 'connection complete', { ...outbound, ...counted(c) }, ['error'])),
    ],
    'refused by policy': [
      hop(
        'is refused by policy',
        to,
        log(to, 'connection complete', { ...inbound, error: 'connection closed due to policy rejection: *' }),
      ),
      hop('is told by the client side', from, log(from, 'connection complete', { ...outbound, error: '*401 Unauthorized*' })),
    ],
    // Facts 4.5 illegal port, 4.8 denied before setup.
    'refused as a call to itself': [
      hop(
        'is refused as a call to itself',
        to,
        log(to, 'connection failed', { ...arrival, error: 'attempted recursive call to ourselves' }, ['src.identity', 'dst.hbone_addr']),
      ),
      hop('is told by the client side', from, log(from, 'connection complete', { ...outbound, error: '*503 Service Unavailable*' })),
    ],
    // Facts 4.7: policies are asked again about live connections; 10 #30.
    'cut off by policy': [
      hop('is cut off by policy', to, log(to, 'connection complete', { ...inbound, error: 'connection closed due to policy change' })),
      hop('is told by the client side', from, log(from, 'connection complete', { ...outbound, error: '*' })),
    ],
  }
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
      ...entry.answered(from, tunnel),
      ...across(c, tunnel, 'sealed', c.client, c.server),
      ...entry.hbone(c, tunnel),
      ...ends[ending],
    ],
    c.case.connection === 'pooled',
  )
}
