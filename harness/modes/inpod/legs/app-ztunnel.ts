import { exchanged, tokenIn } from '../../exchange.ts'
import { loopback, netns } from '../../network.ts'
import { back, conntrack, flow, hop, type Leg, leg, packet, requestToken, socket, trace } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import type { Release } from '../releases.ts'
import { markConnection, PROXY_MARK, REPLY_MARK, redirectOut, restoreMark } from '../rules.ts'

/** The client's side: facts 1.2 nat ISTIO_OUTPUT, 1.6 row 7; listeners inherit the mark, so the answer marks the connection (1.2 mangle ISTIO_PRERT, 4.1). `refused`: the app gets no answer. */
export function appToZtunnel(c: BoundCase, { entry }: Release, refused = false): Leg {
  const app = netns(c.client)
  const lo = loopback(c.client)
  const asked = flow(`${c.client.ip}:$client`, c.destination)
  const turned = flow(`${c.client.ip}:$turned`, '127.0.0.1:15001')
  const answer = back(asked)
  return leg('app-ztunnel', 'app → ztunnel', 'clear', `inpod-mode ${entry.facts}, 1.6 row 7`, [
    hop('is turned around', app, trace(app, 'syn', asked, 'nat OUTPUT ISTIO_OUTPUT', redirectOut, 0)),
    hop('runs over lo', lo, packet(lo, 'out', 'syn', turned), packet(lo, 'in', 'syn', turned)),
    hop(
      'is answered by ztunnel',
      lo,
      trace(app, 'syn-ack', answer, 'mangle PREROUTING ISTIO_PRERT', markConnection, PROXY_MARK),
      ...entry.overLo(app, 'syn-ack', answer, PROXY_MARK),
      packet(lo, 'in', 'syn-ack', answer),
      conntrack(app, asked, back(turned), REPLY_MARK),
      socket(app, '127.0.0.1:15001', turned.from, PROXY_MARK),
    ),
    hop(
      'carries the request',
      lo,
      trace(app, 'data', asked, 'mangle OUTPUT ISTIO_OUTPUT', restoreMark, REPLY_MARK),
      packet(lo, 'out', 'data', turned),
      packet(lo, 'in', 'data', turned),
      ...(refused ? [requestToken(lo, 'clear', turned)] : [packet(lo, 'in', 'reply', answer), tokenIn(c, lo, 'clear', turned, answer)]),
    ),
    ...exchanged(c, lo, turned, answer),
  ])
}
