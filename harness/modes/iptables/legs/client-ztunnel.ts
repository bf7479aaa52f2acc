import { exchanged } from '../../exchange.ts'
import { eth0, netns, passing } from '../../network.ts'
import {
  back,
  conntrack,
  type Device,
  type Flow,
  flow,
  type Hop,
  hop,
  type Leg,
  type LogProof,
  leg,
  log,
  type Row,
  trace,
} from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import { untouched } from '../rules.ts'
import { captured, heldByZtunnel } from './captured.ts'
import { underlay, veth } from './opened.ts'

const nobody = ['src.identity', 'dst.identity', 'dst.hbone_addr']
const arrivingAt = (c: BoundCase) => flow(`${c.client.ip}:$client`, c.endpoint)
const askedBy = (c: BoundCase) => flow(`${c.client.ip}:$client`, c.destination)
const isAcross = (c: BoundCase) => c.case.placement === 'other-node'

/** What listens behind a pod's address is its node's business: to a client outside the mesh its own node does nothing but route, and translate a service's address (facts 4.4). */
export function fromOutside(c: BoundCase, asked: Flow, carried: Flow, row: Row, answered: boolean): Omit<Hop, 'id'>[] {
  const at = { node: c.client.node, netns: 'node' }
  const pass = (title: string, dev: Device, there: 'in' | 'out', f: Flow) => hop(title, dev, ...passing(c, dev, there, f, row, answered))
  return [
    pass('leaves the pod', eth0(c.client), 'out', asked),
    pass('enters the node', veth(c.client), 'in', asked),
    ...(isAcross(c)
      ? [
          hop(
            "is nothing to its node's rules",
            at,
            trace(at, 'syn', asked, 'mangle PREROUTING', untouched, 0),
            conntrack(at, asked, back(carried), 0),
          ),
          pass('leaves the node', underlay(c.client), 'out', carried),
          pass("enters the server's node", underlay(c.server), 'in', carried),
        ]
      : []),
  ]
}

/** As it comes to the server's node: translated there only when the client is there too. */
const arrivalOf = (c: BoundCase) => ({ asked: isAcross(c) ? arrivingAt(c) : askedBy(c), carried: arrivingAt(c) })

const told = (c: BoundCase, message: string, error?: string): LogProof => {
  const { from, to } = arrivingAt(c)
  const fields = { 'src.addr': from, 'dst.addr': to, direction: 'inbound' }
  return error === undefined
    ? log(netns(c.server), message, fields, ['error', ...nobody])
    : log(netns(c.server), message, { ...fields, error }, nobody)
}

/** From a client outside the mesh: led to ztunnel on the server's node (facts 4.4). */
export function clientToZtunnel(c: BoundCase): Leg {
  return leg('client-ztunnel', 'client → ztunnel', 'clear', 'geneve-mode 4.4', [
    ...fromOutside(c, askedBy(c), arrivingAt(c), 'clear', true),
    ...captured({ c, at: c.server, listener: 'plaintext', ...arrivalOf(c), row: 'clear' }),
    heldByZtunnel({ at: c.server, ...arrivalOf(c) }),
    hop('is told of by ztunnel', netns(c.server), told(c, 'connection complete')),
    ...exchanged(c, eth0(c.client), askedBy(c)),
  ])
}

/** The same where the mesh takes no plaintext: ztunnel has the connection, and closes it (facts 2.5 inbound plaintext, 4.4). */
export function clientRefusedInClear(c: BoundCase): Leg {
  const error = 'connection closed due to policy rejection: explicitly denied by: istio-system/istio_converted_static_strict'
  return leg('client-ztunnel', 'client → ztunnel (refused)', 'clear', 'geneve-mode 2.5, 4.4', [
    ...fromOutside(c, askedBy(c), arrivingAt(c), 'clear', false),
    ...captured({ c, at: c.server, listener: 'plaintext', ...arrivalOf(c), row: 'clear', answered: false }),
    heldByZtunnel({ at: c.server, ...arrivalOf(c) }),
    hop('is refused by policy', netns(c.server), told(c, 'connection complete', error)),
  ])
}

/** To one of ztunnel's own ports at a pod's address: 15008 is the HBONE listener, and what comes is no TLS; the others are turned to the plaintext listener, which must not call itself (facts 2.3 Z1 and Z3, 2.5). */
export function clientToOwnPort(c: BoundCase): Leg {
  const calls = arrivingAt(c)
  const isHbone = c.case.port === 15008
  return leg('client-ztunnel', "client → ztunnel's own port", 'clear', 'geneve-mode 2.3, 2.5, 4.4', [
    ...fromOutside(c, calls, calls, 'clear', false),
    ...captured({ c, at: c.server, listener: isHbone ? 'hbone' : 'plaintext', asked: calls, row: 'clear', answered: false }),
    heldByZtunnel({ at: c.server, asked: calls }),
    isHbone
      ? hop('is refused in the handshake', netns(c.server), told(c, 'connection failed', 'tls error: *'))
      : hop('is refused as a call to itself', netns(c.server), told(c, 'connection failed', 'attempted recursive call to ourselves')),
  ])
}
