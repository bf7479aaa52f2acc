import { exchanged, tokenIn } from '../../exchange.ts'
import { loopback, netns } from '../../network.ts'
import { back, conntrack, flow, hop, type Leg, leg, packet, requestToken, route, served, socket, trace } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import type { Release } from '../releases.ts'
import { acceptLoopback, markConnection, PROXY_MARK, REPLY_MARK, restoreMark } from '../rules.ts'

/** The server's side: source kept, connection marked, answers brought home by the mark (facts 1.5, 1.6 row 12). `answered`: the app gets so far. */
export function ztunnelToApp(c: BoundCase, { entry }: Release, answered = true): Leg {
  const pod = netns(c.server)
  const lo = loopback(c.server)
  const inside = flow(`${c.client.ip}:$served`, c.endpoint)
  const answer = back(inside)
  return leg('ztunnel-app', 'ztunnel → app', 'clear', `inpod-mode ${entry.facts}, 1.5, 1.6 row 12`, [
    hop(
      "leaves with the client's address",
      pod,
      trace(pod, 'syn', inside, 'nat OUTPUT ISTIO_OUTPUT', acceptLoopback, PROXY_MARK),
      packet(lo, 'out', 'syn', inside),
    ),
    hop(
      'marks its connection',
      lo,
      packet(lo, 'in', 'syn', inside),
      trace(pod, 'syn', inside, 'mangle PREROUTING ISTIO_PRERT', markConnection, PROXY_MARK),
      ...entry.overLo(pod, 'syn', inside, PROXY_MARK),
    ),
    hop(
      'is answered by way of lo',
      lo,
      trace(pod, 'syn-ack', answer, 'mangle OUTPUT ISTIO_OUTPUT', restoreMark, REPLY_MARK),
      packet(lo, 'out', 'syn-ack', answer),
      packet(lo, 'in', 'syn-ack', answer),
      ...entry.overLo(pod, 'syn-ack', answer, REPLY_MARK),
      conntrack(pod, inside, answer, REPLY_MARK),
      route(pod, '32764: from all fwmark 0x111/0xfff lookup 100', 'local default dev lo table 100'),
    ),
    hop(
      'carries the request',
      lo,
      trace(pod, 'data', inside, 'mangle OUTPUT ISTIO_OUTPUT', restoreMark, REPLY_MARK),
      packet(lo, 'in', 'data', inside),
      ...(answered ? [packet(lo, 'in', 'reply', answer), tokenIn(c, lo, 'clear', inside)] : [requestToken(lo, 'clear', inside)]),
      socket(pod, inside.from, inside.to, PROXY_MARK),
    ),
    ...exchanged(c, lo, inside),
    hop('is served', pod, served(pod, c.case.protocol, inside.from, inside.to)),
  ])
}
