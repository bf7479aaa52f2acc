import { across, netns } from '../../network.ts'
import { flow, hop, type Leg, leg, log, served, socket, trace } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import type { Release } from '../releases.ts'
import { PROXY_MARK, untouched } from '../rules.ts'

/** To a server outside the mesh: plain TCP from the pod's own address (facts 4.4 row 6 and 9, 1.6 row 10). */
export function passedThrough(c: BoundCase, { entry }: Release): Leg {
  const from = netns(c.client)
  const to = netns(c.server)
  const plain = flow(`${c.client.ip}:$served`, c.endpoint)
  const told = { 'src.addr': `${c.client.ip}:$turned`, 'dst.addr': c.endpoint, direction: 'outbound' }
  return leg('ztunnel-server', 'ztunnel → server (passed through)', 'clear', 'inpod-mode 1.6 row 10, 4.4 rows 6 and 9', [
    hop('leaves ztunnel uncaptured', from, trace(from, 'syn', plain, 'nat OUTPUT', untouched, PROXY_MARK)),
    ...entry.answered(from, plain),
    ...across(c, plain, 'clear', c.client, c.server),
    hop('is served', to, served(to, c.case.protocol, plain.from, plain.to)),
    hop(
      'is told by the client side',
      from,
      log(from, 'connection complete', told, ['error', 'src.identity', 'dst.identity', 'dst.hbone_addr']),
      socket(from, plain.from, plain.to, PROXY_MARK),
    ),
  ])
}
