import { netns } from '../../network.ts'
import { back, conntrack, flow, hop, type Leg, leg, packet, served, token, trace } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import type { Release } from '../releases.ts'
import { PROBE_SNAT } from '../rules.ts'

/** A probe from the node: its source is rewritten, and the pod lets it through to the app (facts 1.0, 1.6 row 3, golden node-host-rules-ipset). */
export function nodeToApp(c: BoundCase, { entry, probeSet }: Release): Leg {
  const snatProbe = {
    rule: `-A ISTIO_POSTRT -p tcp -m owner --socket-exists -m set --match-set ${probeSet} dst -j SNAT --to-source ${PROBE_SNAT}`,
  }
  const node = { node: c.server.node, netns: 'node' }
  const pod = netns(c.server)
  const veth = { ...node, dev: c.server.veth }
  const inside = { ...pod, dev: 'eth0' }
  const asked = flow(`${c.server.gateway}:$client`, c.endpoint)
  const probe = flow(`${PROBE_SNAT}:$probe`, c.endpoint)
  return leg('node-app', 'node → app (probe)', 'clear', `inpod-mode 1.0, ${entry.facts}, 1.6 row 3`, [
    hop(
      'is given the probe address',
      node,
      trace(node, 'syn', asked, 'nat POSTROUTING ISTIO_POSTRT', snatProbe, 0),
      conntrack(node, asked, back(probe), 0),
    ),
    hop('leaves the node', veth, packet(veth, 'out', 'syn', probe), packet(veth, 'out', 'data', probe), token(veth, 'clear', probe)),
    hop('enters the pod', inside, packet(inside, 'in', 'syn', probe), packet(inside, 'in', 'data', probe), token(inside, 'clear', probe)),
    ...entry.probe(c),
    hop('is served', pod, served(pod, c.case.protocol, probe.from, probe.to)),
    hop('is answered directly', inside, packet(inside, 'out', 'syn-ack', back(probe)), packet(inside, 'out', 'reply', back(probe))),
    hop('comes home', veth, packet(veth, 'in', 'syn-ack', back(probe)), packet(veth, 'in', 'reply', back(probe))),
  ])
}
