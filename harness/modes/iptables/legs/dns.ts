import { eth0 } from '../../network.ts'
import { back, conntrack, type Device, type Flow, flow, hop, type Leg, leg, type Proof, packet, requestToken, trace } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import { forward, natPrerouting, nodeRules, PASSED, prerouting, proxyOf, SKIP } from '../rules.ts'
import { underlay, veth } from './opened.ts'

/** A question and its answer at a device; only a case that is about the question carries a token in it. */
const asking = (c: BoundCase, at: Device, there: 'in' | 'out', f: Flow): readonly Proof[] => [
  packet(at, there, 'datagram', f),
  packet(at, there === 'in' ? 'out' : 'in', 'answer', back(f)),
  ...(c.case.question ? [requestToken(at, 'clear', f)] : []),
]

/** The app's question is sent on to ztunnel's address by its node, with DNS capture (facts 1.5 N2, 2.3, 4.6). */
export function questionToZtunnel(c: BoundCase): Leg {
  const proxy = proxyOf(c.client)
  const node = { node: c.client.node, netns: 'node' }
  const asked = flow(`${c.client.ip}:$question`, `${c.resolver}:53`)
  const turned = flow(asked.from, `${proxy.ip}:15053`)
  const { P6, P7, P13, P14, N2, F1 } = nodeRules(c.client)
  const door = { node: c.client.node, netns: proxy.netns, dev: 'eth0' }
  const proxyVeth = { ...node, dev: proxy.veth }
  return leg('app-dns', 'app → ztunnel (DNS)', 'clear', 'geneve-mode 1.5 N2, 4.6', [
    hop('leaves the pod', eth0(c.client), ...asking(c, eth0(c.client), 'out', asked)),
    hop('enters the node', veth(c.client), ...asking(c, veth(c.client), 'in', asked)),
    hop(
      'is turned to ztunnel',
      node,
      trace(node, 'datagram', asked, prerouting, P13, PASSED),
      trace(node, 'datagram', asked, prerouting, P14, PASSED),
      trace(node, 'datagram', asked, natPrerouting, N2, PASSED),
      trace(node, 'datagram', turned, forward, F1, PASSED),
      conntrack(node, asked, back(turned), PASSED, { protocol: 'udp' }),
    ),
    hop(
      'goes to ztunnel',
      proxyVeth,
      ...asking(c, proxyVeth, 'out', turned),
      trace(node, 'answer', back(turned), prerouting, P6, SKIP),
      trace(node, 'answer', back(turned), prerouting, P7, SKIP),
    ),
    hop('is answered by ztunnel', door, ...asking(c, door, 'in', turned)),
  ])
}

/** What ztunnel does not know it asks by itself, from its own address; wherever the name server's service leads is the cluster's business (facts 2.5, 4.6). */
export function questionPassedOn(c: BoundCase): Leg {
  const proxy = proxyOf(c.client)
  const node = { node: c.client.node, netns: 'node' }
  const asked = flow(`${proxy.ip}:$forward`, `${c.resolver}:53`)
  const led = flow('$asker', '$asked')
  const { P12, P14, F1 } = nodeRules(c.client)
  const door = { node: c.client.node, netns: proxy.netns, dev: 'eth0' }
  const proxyVeth = { ...node, dev: proxy.veth }
  return leg('ztunnel-dns', 'ztunnel → name server', 'clear', 'geneve-mode 4.6', [
    hop("leaves ztunnel's namespace", door, ...asking(c, door, 'out', asked)),
    hop(
      'is let by',
      proxyVeth,
      ...asking(c, proxyVeth, 'in', asked),
      trace(node, 'datagram', asked, prerouting, P12, PASSED),
      trace(node, 'datagram', asked, prerouting, P14, PASSED),
      trace(node, 'datagram', flow(asked.from, led.to), forward, F1, PASSED),
    ),
    hop('leaves for the name server', underlay(c.client), ...asking(c, underlay(c.client), 'out', led)),
  ])
}
