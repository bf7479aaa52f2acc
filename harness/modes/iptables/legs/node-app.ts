import { eth0, netns, passing } from '../../network.ts'
import { back, conntrack, flow, hop, type Leg, leg, route, served, silence, trace, untouched } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import { nodeRules, OUTBOUND, output, PASSED, prerouting, ways } from '../rules.ts'
import { veth } from './opened.ts'

/** A probe from the pod's own node: its source is the node's address towards its pods, and that is what lets it past ztunnel (facts 4.3). */
export function nodeToApp(c: BoundCase): Leg {
  const node = { node: c.server.node, netns: 'node' }
  const pod = netns(c.server)
  const { O1, P15 } = nodeRules(c.server)
  const probe = flow(`${c.server.gateway}:$client`, c.endpoint)
  return leg('node-app', 'node → app (probe)', 'clear', 'geneve-mode 4.3', [
    hop(
      'is let past by its source',
      node,
      // The route is what gives it that source.
      route(node, ...ways.inbound(c.server.ip)),
      trace(node, 'syn', probe, output, O1, PASSED),
      // Nothing is saved: each packet needs the rule.
      trace(node, 'data', probe, output, O1, PASSED),
      conntrack(node, probe, back(probe), 0),
    ),
    hop('leaves the node', veth(c.server), ...passing(c, veth(c.server), 'out', probe, 'clear')),
    hop('enters the pod', eth0(c.server), ...passing(c, eth0(c.server), 'in', probe, 'clear')),
    hop('is served', pod, served(pod, c.case.protocol, probe.from, probe.to), silence(pod, probe.from)),
    hop('has nothing of the mesh in its pod', pod, untouched(pod)),
    // Marked as any first packet of an enrolled pod would be; the local table comes before that counts.
    hop('comes home', node, trace(node, 'syn-ack', back(probe), prerouting, P15, OUTBOUND)),
  ])
}
