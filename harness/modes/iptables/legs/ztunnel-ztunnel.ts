import { counted } from '../../exchange.ts'
import { netns, passing } from '../../network.ts'
import { flow, hop, type Leg, leg, log } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import { captured } from './captured.ts'
import { opened, underlay } from './opened.ts'

/** How a tunnel ends: carried on; refused by policy with 401, or with 503 because it asks for one of ztunnel's own ports. */
export type Ending = 'carried' | 'refused by policy' | 'refused as a call to itself'

/** HBONE from node to node, between the pods' own addresses: opened beside the tunnels here, led into one there (facts 4.1 rows 11 to 18). */
export function ztunnelToZtunnel(c: BoundCase, ending: Ending): Leg {
  const dialled = flow(`${c.client.ip}:$hbone`, `${c.server.ip}:15008`)
  const from = netns(c.client)
  const to = netns(c.server)
  const identities = { 'src.identity': c.client.identity, 'dst.identity': c.server.identity }
  const arrival = { 'src.addr': dialled.from, 'dst.addr': dialled.to, direction: 'inbound' }
  const inbound = { ...arrival, 'dst.hbone_addr': c.endpoint, ...identities }
  const outbound = {
    'src.addr': `${c.client.ip}:$client`,
    'dst.addr': dialled.to,
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
    'refused as a call to itself': [
      hop(
        'is refused as a call to itself',
        to,
        log(to, 'connection failed', { ...arrival, error: 'attempted recursive call to ourselves' }, ['src.identity', 'dst.hbone_addr']),
      ),
      hop('is told by the client side', from, log(from, 'connection complete', { ...outbound, error: '*503 Service Unavailable*' })),
    ],
  }
  return leg(
    'ztunnel-ztunnel',
    'ztunnel → ztunnel (HBONE)',
    'sealed',
    'geneve-mode 2.5, 4.1 rows 11 to 18',
    [
      ...opened({ c, at: c.client, dialled, row: 'sealed' }),
      hop('leaves the node', underlay(c.client), ...passing(c, underlay(c.client), 'out', dialled, 'sealed')),
      hop("enters the server's node", underlay(c.server), ...passing(c, underlay(c.server), 'in', dialled, 'sealed')),
      ...captured({ c, at: c.server, listener: 'hbone', asked: dialled, row: 'sealed' }),
      ...ends[ending],
    ],
    c.case.connection === 'pooled',
  )
}
