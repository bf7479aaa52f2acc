import { across, netns } from '../../network.ts'
import { back, conntrack, flow, hop, type Leg, leg, served, silence, trace } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import type { Release } from '../releases.ts'
import { untouched } from '../rules.ts'

/** UDP that is no question for names: no rule takes it, at neither end, and ztunnel has no part in it (facts 1.2: nat redirects TCP, and of UDP only port 53). */
export function udpUncaptured(c: BoundCase, { entry: { facts, table } }: Release): Leg {
  const from = netns(c.client)
  const to = netns(c.server)
  const sent = flow(`${c.client.ip}:$client`, c.endpoint)
  const entry = { protocol: 'udp' } as const
  return leg('client-server', 'client → server (UDP, not captured)', 'clear', `inpod-mode ${facts}`, [
    hop(
      'leaves the app uncaptured',
      from,
      trace(from, 'datagram', sent, 'nat OUTPUT', untouched, 0),
      conntrack(from, sent, back(sent), 0, entry),
    ),
    ...across(c, sent, 'clear', c.client, c.server),
    // Outside the mesh there are no rules to meet.
    ...(c.case.traffic === 'mesh-to-plain'
      ? []
      : [
          hop(
            'comes to the app uncaptured',
            to,
            trace(to, 'datagram', sent, `${table} PREROUTING`, untouched, 0),
            conntrack(to, sent, back(sent), 0, entry),
          ),
        ]),
    hop('is served', to, served(to, 'udp', sent.from, `*:${c.endpoint.replace(/^.*:/, '')}`)),
    hop('does without ztunnel', from, silence(from, sent.from), silence(to, sent.from)),
  ])
}
