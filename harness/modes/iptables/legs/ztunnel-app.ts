import { counted, exchanged } from '../../exchange.ts'
import { eth0, netns, passing } from '../../network.ts'
import { type Flow, flow, type Hop, hop, type Leg, leg, log, route, served, socket, untouched } from '../../path.ts'
import type { BoundCase, Place } from '../../place.ts'
import { proxyOf, ways } from '../rules.ts'
import { opened, openedAsItself, veth } from './opened.ts'

const toServer = (c: BoundCase) => flow(`${c.client.ip}:$served`, c.endpoint)

/** Over the server's own device into its pod, where nothing is of the mesh. */
const intoPod = (c: BoundCase, dialled: Flow, answered: boolean): Omit<Hop, 'id'>[] => [
  hop(
    "leaves for the server's pod",
    veth(c.server),
    ...passing(c, veth(c.server), 'out', dialled, 'clear', answered),
    // By the main table, past the route that would lead it to ztunnel again.
    route(veth(c.server), ways.main, `${c.server.ip} dev ${c.server.veth}`),
  ),
  hop("enters the server's pod", eth0(c.server), ...passing(c, eth0(c.server), 'in', dialled, 'clear', answered)),
  ...(answered ? exchanged(c, eth0(c.server), dialled) : []),
  hop('is served', netns(c.server), served(netns(c.server), c.case.protocol, dialled.from, dialled.to)),
  hop('has nothing of the mesh in its pod', netns(c.server), untouched(netns(c.server))),
]

const ownSocket = (at: Place, dialled: Flow): Omit<Hop, 'id'> => {
  const home = { node: at.node, netns: proxyOf(at).netns }
  return hop("is ztunnel's", home, socket(home, dialled.from, dialled.to, 0))
}

/** From the server's ztunnel to the app, with the client's address (facts 4.1 rows 19 to 21, 4.4). */
export function ztunnelToApp(c: BoundCase): Leg {
  const dialled = toServer(c)
  return leg('ztunnel-app', 'ztunnel → app', 'clear', 'geneve-mode 4.1 rows 19 to 21', [
    ...opened({ c, at: c.server, dialled, row: 'clear' }),
    ...intoPod(c, dialled, true),
    ownSocket(c.server, dialled),
  ])
}

const told = (c: BoundCase, port: string) => ({
  'src.addr': `${c.client.ip}:${port}`,
  'dst.addr': c.endpoint,
  direction: 'outbound',
  'src.identity': c.client.identity,
  'dst.identity': c.server.identity,
})

/** What ztunnel tells of a connection that it joins on its node: once, for the client. */
export const toldOnce = (c: BoundCase, error?: string): Omit<Hop, 'id'> => {
  const fields = told(c, '$client')
  return error === undefined
    ? hop(
        'is told with both identities',
        netns(c.client),
        log(netns(c.client), 'connection complete', { ...fields, ...counted(c) }, ['error', 'dst.hbone_addr']),
      )
    : hop('is ended by policy', netns(c.client), log(netns(c.client), 'connection complete', { ...fields, error }, ['dst.hbone_addr']))
}

/** On one node its ztunnel serves both ends: no HBONE between, and the server's policy is asked all the same (facts 2.5 fast path, 4.2). `answered`: the app gets so far. */
export function ztunnelToAppHere(c: BoundCase, answered = true): Leg {
  const dialled = toServer(c)
  return leg('ztunnel-app', 'ztunnel → app (same node)', 'clear', 'geneve-mode 2.5, 4.2', [
    ...opened({ c, at: c.server, dialled, row: 'clear', answered }),
    ...intoPod(c, dialled, answered),
    ownSocket(c.server, dialled),
    toldOnce(c, answered ? undefined : 'connection closed due to policy change'),
  ])
}

/** A pod that calls its own service: from its own address to itself nothing could come back, so the app sees ztunnel's (facts 2.5 self call, 4.2). */
export function ztunnelToItself(c: BoundCase): Leg {
  const dialled = flow(`${proxyOf(c.server).ip}:$served`, c.endpoint)
  return leg('ztunnel-app', 'ztunnel → app (its own client)', 'clear', 'geneve-mode 2.5, 4.2', [
    ...openedAsItself({ c, at: c.server, dialled, row: 'clear' }),
    ...intoPod(c, dialled, true),
    ownSocket(c.server, dialled),
    toldOnce(c),
  ])
}
