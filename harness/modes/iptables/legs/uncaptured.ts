import { across, loopback, netns } from '../../network.ts'
import { back, conntrack, flow, type Hop, hop, type Leg, leg, packet, served, silence, token, trace } from '../../path.ts'
import type { BoundCase, Place } from '../../place.ts'
import { forward, nodeRules, PASSED, prerouting, SKIP } from '../rules.ts'

/** UDP that is no question for names: each node lets it go by, and remembers that (facts 4.6). */
export function udpUncaptured(c: BoundCase): Leg {
  const sent = flow(`${c.client.ip}:$client`, c.endpoint)
  const [from, to] = [netns(c.client), netns(c.server)]
  const passes = (place: Place): Omit<Hop, 'id'> => {
    const node = { node: place.node, netns: 'node' }
    const { P6, P7, P13, P14, F1 } = nodeRules(place)
    return hop(
      place === c.client ? 'is let by' : "is let by on the server's node",
      node,
      trace(node, 'datagram', sent, prerouting, P13, PASSED),
      trace(node, 'datagram', sent, prerouting, P14, PASSED),
      trace(node, 'datagram', sent, forward, F1, PASSED),
      trace(node, 'answer', back(sent), prerouting, P6, SKIP),
      trace(node, 'answer', back(sent), prerouting, P7, SKIP),
      conntrack(node, sent, back(sent), PASSED, { protocol: 'udp' }),
    )
  }
  return leg('client-server', 'client → server (UDP, not captured)', 'clear', 'geneve-mode 3, 4.6', [
    ...across(c, sent, 'clear', c.client, c.server),
    ...(c.case.placement === 'other-node' ? [c.client, c.server] : [c.client]).map(passes),
    hop('is served', to, served(to, 'udp', sent.from, `*:${c.endpoint.replace(/^.*:/, '')}`)),
    hop('does without ztunnel', from, silence(from, sent.from), silence(to, sent.from)),
  ])
}

/** A pod that calls its own address: it never comes to its node (facts 4.2). */
export function appToItself(c: BoundCase): Leg {
  const pod = netns(c.server)
  const lo = loopback(c.server)
  const asked = flow(`${c.client.ip}:$client`, c.endpoint)
  const answer = back(asked)
  return leg('app-app', 'app → itself (not captured)', 'clear', 'geneve-mode 4.2', [
    hop('leaves the app over lo', lo, packet(lo, 'out', 'syn', asked)),
    hop('comes back over lo', lo, packet(lo, 'in', 'syn', asked)),
    hop('is answered directly', lo, packet(lo, 'in', 'syn-ack', answer)),
    hop('carries the request', lo, packet(lo, 'in', 'data', asked), packet(lo, 'in', 'reply', answer), token(lo, 'clear', asked)),
    hop('is served', pod, served(pod, c.case.protocol, asked.from, asked.to), silence(pod, asked.from)),
  ])
}
