import { tokenIn } from '../../exchange.ts'
import {
  back,
  conntrack,
  type Device,
  type Flow,
  flow,
  type Hop,
  hop,
  opening,
  type Proof,
  packet,
  type Row,
  requestToken,
  route,
  socket,
  trace,
} from '../../path.ts'
import type { BoundCase, Place } from '../../place.ts'
import {
  ANSWERED,
  CAPTURED,
  FROM_PROXY,
  filterForward,
  forward,
  GENEVE_PORT,
  istioin,
  istioout,
  natPostrouting,
  natPrerouting,
  nodeRules,
  OUTBOUND,
  prerouting,
  proxyOf,
  proxyPrerouting,
  proxyRules,
  TO_PROXY,
  untouched,
  ways,
} from '../rules.ts'

/** Which of ztunnel's listeners gets a connection, and so by which tunnel and rule. */
export type Listener = 'outbound' | 'hbone' | 'plaintext'

const listeners = {
  outbound: { tunnel: istioout, rule: 'Z2', variable: 'tunnelout', mark: OUTBOUND },
  hbone: { tunnel: istioin, rule: 'Z1', variable: 'tunnelin', mark: 0 },
  plaintext: { tunnel: istioin, rule: 'Z3', variable: 'tunnelin', mark: 0 },
} as const

/** A connection that its node leads to ztunnel. */
export interface Captured {
  readonly c: BoundCase
  /** Somebody on that node. */
  readonly at: Place
  readonly listener: Listener
  /** As it comes to the node. */
  readonly asked: Flow
  /** The same behind the node's translation (ClusterIP). @default asked */
  readonly carried?: Flow
  readonly row: Row
  /** Whether the request gets a first byte back. @default true */
  readonly answered?: boolean
}

/**
 * From the node to ztunnel: the SYN through a tunnel, its answer and everything later beside it (facts 0.1; 4.1 rows 2 to 10 and 13 to 18; 4.4).
 * The tunnel's source port is a hash: another connection's may be the same, so of the datagram no entry of its own is asked for.
 */
export function captured({ c, at, listener, asked, carried = asked, row, answered = true }: Captured): Omit<Hop, 'id'>[] {
  const proxy = proxyOf(at)
  const { tunnel, rule, variable, mark } = listeners[listener]
  const node = { node: at.node, netns: 'node' }
  const home = { node: at.node, netns: proxy.netns }
  const istio = { ...node, dev: tunnel.node }
  const veth = { ...node, dev: proxy.veth }
  const door = { ...home, dev: 'eth0' }
  const pistio = { ...home, dev: tunnel.proxy }
  const { P8, P9, P10, P11, F2 } = nodeRules(at)
  const { Z4, ...z } = proxyRules(at)
  const answer = back(carried)
  const outer = flow(`${at.gateway}:$${variable}`, `${proxy.ip}:${GENEVE_PORT}`)
  const datagram = { ...outer, vni: tunnel.vni }
  const read = (dev: Device): readonly Proof[] =>
    answered
      ? [packet(dev, dev === veth ? 'in' : 'out', 'reply', answer), tokenIn(c, dev, row, carried)]
      : [requestToken(dev, row, carried)]
  return [
    hop('is led into the tunnel', istio, ...chosen(at, listener, asked, carried), opening(istio, 'out', carried)),
    hop(
      'is wrapped for ztunnel',
      veth,
      opening(veth, 'out', carried, datagram),
      // Wrapping keeps the mark: by it the datagram finds its own way (facts 1.6).
      trace(node, 'datagram', outer, 'mangle OUTPUT', untouched, mark),
    ),
    hop("comes wrapped to ztunnel's namespace", door, opening(door, 'in', carried, datagram)),
    hop(
      'is handed to its listener',
      pistio,
      opening(pistio, 'in', carried),
      trace(home, 'syn', carried, proxyPrerouting, z[rule], CAPTURED),
      route(home, ...ways.captured),
    ),
    hop(
      'is answered beside the tunnel',
      veth,
      packet(veth, 'in', 'syn-ack', answer),
      trace(node, 'syn-ack', answer, prerouting, P10, FROM_PROXY),
      trace(node, 'syn-ack', answer, prerouting, P11, FROM_PROXY),
      trace(node, 'syn-ack', answer, forward, F2, FROM_PROXY),
      conntrack(node, asked, answer, FROM_PROXY),
    ),
    hop(
      'goes on beside the tunnel',
      veth,
      trace(node, 'data', asked, prerouting, P8, TO_PROXY),
      trace(node, 'data', asked, prerouting, P9, TO_PROXY),
      route(node, ...ways.toProxy(proxy)),
      packet(veth, 'out', 'data', carried),
      ...read(veth),
    ),
    hop(
      'comes to ztunnel as it is',
      door,
      packet(door, 'out', 'syn-ack', answer),
      packet(door, 'in', 'data', carried),
      trace(home, 'data', carried, proxyPrerouting, Z4, ANSWERED),
      route(home, ...ways.answered),
      ...read(door),
    ),
  ]
}

/** The listener's socket has the addresses that its peers used (facts 2.3), and no mark. It is told of when it is closed, which a tunnel's that is kept for others is not. */
export function heldByZtunnel({ at, asked, carried = asked }: Pick<Captured, 'at' | 'asked' | 'carried'>): Omit<Hop, 'id'> {
  const home = { node: at.node, netns: proxyOf(at).netns }
  return hop("is ztunnel's", home, socket(home, carried.to, carried.from, 0))
}

/** What leads the SYN into its tunnel. */
function chosen(at: Place, listener: Listener, asked: Flow, carried: Flow): readonly Proof[] {
  const node = { node: at.node, netns: 'node' }
  if (listener !== 'outbound') {
    const [podIp = ''] = carried.to.split(':')
    return [trace(node, 'syn', asked, 'mangle PREROUTING', untouched, 0), route(node, ...ways.inbound(podIp))]
  }
  const { P15, N1, N3, X1 } = nodeRules(at)
  return [
    trace(node, 'syn', asked, prerouting, P15, OUTBOUND),
    trace(node, 'syn', asked, natPrerouting, N1, OUTBOUND),
    route(node, ...ways.outbound),
    trace(node, 'syn', asked, filterForward, X1, OUTBOUND),
    trace(node, 'syn', asked, natPostrouting, N3, OUTBOUND),
  ]
}
