import { passing } from '../../network.ts'
import { back, conntrack, type Device, type Flow, type Hop, hop, type Row, route, trace } from '../../path.ts'
import type { BoundCase, Place } from '../../place.ts'
import {
  ANSWERED,
  FROM_PROXY,
  forward,
  nodeRules,
  PASSED,
  prerouting,
  proxyOf,
  proxyPrerouting,
  proxyRules,
  SKIP,
  TO_PROXY,
  untouched,
  ways,
} from '../rules.ts'

/** A connection that ztunnel opens. */
export interface Opened {
  readonly c: BoundCase
  /** Somebody on ztunnel's node. */
  readonly at: Place
  readonly dialled: Flow
  readonly row: Row
  /** Whether it gets a first byte back. @default true */
  readonly answered?: boolean
}

const places = (at: Place) => {
  const proxy = proxyOf(at)
  const node = { node: at.node, netns: 'node' }
  const home = { node: at.node, netns: proxy.netns }
  return { proxy, node, home, veth: { ...node, dev: proxy.veth }, door: { ...home, dev: 'eth0' } }
}

/** With its client's address, from ztunnel to its node: no tunnel, marked by its own SYN, answers led to ztunnel (facts 4.1 rows 11, 12, 17, 19 to 21; 4.2; 4.4; 4.5). */
export function opened({ c, at, dialled, row, answered = true }: Opened): Omit<Hop, 'id'>[] {
  const { proxy, node, home, veth, door } = places(at)
  const { P8, P9, P10, P11, F2 } = nodeRules(at)
  const answer = back(dialled)
  return [
    hop(
      "leaves ztunnel with its client's address",
      door,
      ...passing(c, door, 'out', dialled, row, answered),
      trace(home, 'syn-ack', answer, proxyPrerouting, proxyRules(at).Z4, ANSWERED),
      route(home, ...ways.answered),
    ),
    hop(
      'comes to the node without a tunnel',
      veth,
      ...passing(c, veth, 'in', dialled, row, answered),
      trace(node, 'syn', dialled, prerouting, P10, FROM_PROXY),
      trace(node, 'syn', dialled, prerouting, P11, FROM_PROXY),
      // It marks its connection itself: there is no answer to wait for.
      trace(node, 'syn', dialled, forward, F2, FROM_PROXY),
      conntrack(node, dialled, answer, FROM_PROXY),
      trace(node, 'data', dialled, prerouting, P10, FROM_PROXY),
      trace(node, 'data', dialled, prerouting, P11, FROM_PROXY),
    ),
    hop(
      'is answered to ztunnel',
      node,
      trace(node, 'syn-ack', answer, prerouting, P8, TO_PROXY),
      trace(node, 'syn-ack', answer, prerouting, P9, TO_PROXY),
      route(node, ...ways.toProxy(proxy)),
    ),
  ]
}

/** With ztunnel's own address: nothing of it is led anywhere (facts 2.5 self call, 4.2, 4.6). */
export function openedAsItself({ c, at, dialled, row }: Opened): Omit<Hop, 'id'>[] {
  const { node, home, veth, door } = places(at)
  const { P6, P7, P12, P14, F1 } = nodeRules(at)
  const answer = back(dialled)
  return [
    hop(
      'leaves ztunnel with its own address',
      door,
      ...passing(c, door, 'out', dialled, row),
      trace(home, 'syn-ack', answer, proxyPrerouting, untouched, 0),
    ),
    hop(
      'comes to the node without a tunnel',
      veth,
      ...passing(c, veth, 'in', dialled, row),
      trace(node, 'syn', dialled, prerouting, P12, PASSED),
      trace(node, 'syn', dialled, prerouting, P14, PASSED),
      trace(node, 'syn', dialled, forward, F1, PASSED),
      conntrack(node, dialled, answer, PASSED),
    ),
    hop(
      'is answered by the main table',
      node,
      trace(node, 'syn-ack', answer, prerouting, P6, SKIP),
      trace(node, 'syn-ack', answer, prerouting, P7, SKIP),
    ),
  ]
}

export const underlay = (place: Place): Device => ({ node: place.node, netns: 'node', dev: place.underlay })
export const veth = (place: Place): Device => ({ node: place.node, netns: 'node', dev: place.veth })
