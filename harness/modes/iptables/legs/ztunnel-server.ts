import { eth0, netns, passing } from '../../network.ts'
import { back, conntrack, type Flow, flow, type Hop, hop, type Leg, leg, log, type Row, served, socket, trace } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import { proxyOf, untouched } from '../rules.ts'
import { opened, underlay, veth } from './opened.ts'

/** From the client's node to a pod that its own node's rules know nothing of (facts 4.5). */
function toOutside(c: BoundCase, dialled: Flow, row: Row): Omit<Hop, 'id'>[] {
  const at = { node: c.server.node, netns: 'node' }
  return [
    ...(c.case.placement === 'other-node'
      ? [
          hop('leaves the node', underlay(c.client), ...passing(c, underlay(c.client), 'out', dialled, row)),
          hop(
            "is nothing to the server's node",
            underlay(c.server),
            ...passing(c, underlay(c.server), 'in', dialled, row),
            trace(at, 'syn', dialled, 'mangle PREROUTING', untouched, 0),
            conntrack(at, dialled, back(dialled), 0),
          ),
        ]
      : []),
    hop("leaves for the server's pod", veth(c.server), ...passing(c, veth(c.server), 'out', dialled, row)),
    hop("enters the server's pod", eth0(c.server), ...passing(c, eth0(c.server), 'in', dialled, row)),
  ]
}

const clientSocket = (c: BoundCase, dialled: Flow) =>
  socket({ node: c.client.node, netns: proxyOf(c.client).netns }, dialled.from, dialled.to, 0)

/** To a server outside the mesh: plain TCP with the client's address (facts 2.5, 4.5). */
export function passedThrough(c: BoundCase): Leg {
  const from = netns(c.client)
  const dialled = flow(`${c.client.ip}:$served`, c.endpoint)
  const told = { 'src.addr': `${c.client.ip}:$client`, 'dst.addr': c.endpoint, direction: 'outbound' }
  return leg('ztunnel-server', 'ztunnel → server (passed through)', 'clear', 'geneve-mode 2.5, 4.5', [
    ...opened({ c, at: c.client, dialled, row: 'clear' }),
    ...toOutside(c, dialled, 'clear'),
    hop('is served', netns(c.server), served(netns(c.server), c.case.protocol, dialled.from, dialled.to)),
    hop(
      'is told by the client side',
      from,
      log(from, 'connection complete', told, ['error', 'src.identity', 'dst.identity', 'dst.hbone_addr']),
      clientSocket(c, dialled),
    ),
  ])
}

/** To a server that shows another certificate than the mesh expects of it: the handshake is all that it gets (facts 2.5, 4.5; in-pod mode 4.2 client checks). */
export function ztunnelToImpostor(c: BoundCase): Leg {
  const from = netns(c.client)
  const dialled = flow(`${c.client.ip}:$hbone`, `${c.server.ip}:15008`)
  const told = {
    'src.addr': `${c.client.ip}:$client`,
    'dst.addr': dialled.to,
    'dst.hbone_addr': c.endpoint,
    direction: 'outbound',
    // Its own and the expected one, though the other side never proved it.
    'src.identity': c.client.identity,
    'dst.identity': c.server.identity,
  }
  return leg('ztunnel-impostor', 'ztunnel → impostor (HBONE)', 'sealed', 'geneve-mode 2.5, 4.5', [
    ...opened({ c, at: c.client, dialled, row: 'sealed' }),
    ...toOutside(c, dialled, 'sealed'),
    hop(
      'is given up by the client side',
      from,
      clientSocket(c, dialled),
      log(from, 'connection complete', { ...told, error: 'identity error: *' }),
    ),
  ])
}
