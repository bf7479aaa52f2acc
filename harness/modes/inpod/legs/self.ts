import { loopback, netns } from '../../network.ts'
import { back, conntrack, flow, hop, type Leg, leg, log, packet, requestToken, served, silence, socket, token, trace } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import type { Release } from '../releases.ts'
import { acceptLoopback, markConnection, PROXY_MARK, REPLY_MARK, restoreMark } from '../rules.ts'

/** A pod that calls its own service: the tunnel leads from ztunnel to itself, inside the pod (facts 1.6 row 11, 4.4 rows 4 and 8, 4.5). */
export function ztunnelToItself(c: BoundCase, { entry }: Release): Leg {
  const pod = netns(c.server)
  const lo = loopback(c.server)
  const tunnel = flow(`${c.client.ip}:$hbone`, `${c.server.ip}:15008`)
  const answer = back(tunnel)
  const told = { 'dst.addr': tunnel.to, 'dst.hbone_addr': c.endpoint, 'src.identity': c.client.identity, 'dst.identity': c.server.identity }
  return leg('ztunnel-ztunnel', 'ztunnel → itself (HBONE)', 'sealed', `inpod-mode ${entry.facts}, 1.6 row 11, 4.4 rows 4 and 8, 4.5`, [
    hop(
      'leaves ztunnel over lo',
      lo,
      trace(pod, 'syn', tunnel, 'nat OUTPUT ISTIO_OUTPUT', acceptLoopback, PROXY_MARK),
      packet(lo, 'out', 'syn', tunnel),
    ),
    hop(
      'comes to the HBONE listener',
      lo,
      packet(lo, 'in', 'syn', tunnel),
      trace(pod, 'syn', tunnel, 'mangle PREROUTING ISTIO_PRERT', markConnection, PROXY_MARK),
      ...entry.overLo(pod, 'syn', tunnel, PROXY_MARK),
      packet(lo, 'in', 'syn-ack', answer),
    ),
    hop('carries the request', lo, packet(lo, 'in', 'data', tunnel), packet(lo, 'in', 'reply', answer), token(lo, 'sealed', tunnel)),
    hop(
      'is terminated with both identities',
      pod,
      log(pod, 'connection complete', { 'src.addr': tunnel.from, ...told, direction: 'inbound' }, ['error']),
    ),
    hop(
      'is told by the client side',
      pod,
      log(pod, 'connection complete', { 'src.addr': `${c.client.ip}:$turned`, ...told, direction: 'outbound' }, ['error']),
    ),
  ])
}

/** A pod that calls its own address: no rule takes it (facts 1.6 row 8). */
export function appToItself(c: BoundCase, { entry }: Release): Leg {
  const pod = netns(c.server)
  const lo = loopback(c.server)
  const asked = flow(`${c.client.ip}:$client`, c.endpoint)
  const answer = back(asked)
  return leg('app-app', 'app → itself (not captured)', 'clear', `inpod-mode ${entry.facts}, 1.6 row 8`, [
    hop('is left alone', pod, trace(pod, 'syn', asked, 'nat OUTPUT ISTIO_OUTPUT', acceptLoopback, 0), packet(lo, 'out', 'syn', asked)),
    hop('comes back over lo', lo, packet(lo, 'in', 'syn', asked), ...entry.overLo(pod, 'syn', asked, 0)),
    hop('is answered directly', lo, packet(lo, 'in', 'syn-ack', answer), conntrack(pod, asked, answer, 0)),
    hop('carries the request', lo, packet(lo, 'in', 'data', asked), packet(lo, 'in', 'reply', answer), token(lo, 'clear', asked)),
    hop('is served', pod, served(pod, c.case.protocol, asked.from, asked.to), silence(pod, asked.from)),
  ])
}

/**
 * To a port of ztunnel's in the same pod, by the pod's address: no rule takes it, so it comes to that listener as it is, which must not call itself (facts 1.6 row 8, 4.4 row 1,
 * 4.5, 4.6 row 2); what comes to 15008 is no TLS. The listener's mark marks the connection, as with any of ztunnel's (4.1, 1.2 mangle).
 */
export function appToOwnPort(c: BoundCase, { entry }: Release): Leg {
  const pod = netns(c.server)
  const lo = loopback(c.server)
  const asked = flow(`${c.client.ip}:$client`, c.endpoint)
  const answer = back(asked)
  const { port } = c.case
  const end =
    port === 15008
      ? { title: 'is refused in the handshake', error: 'tls error: *' }
      : { title: 'is refused as a call to itself', error: 'attempted recursive call to ourselves' }
  const told = { 'src.addr': asked.from, 'dst.addr': asked.to, direction: port === 15001 ? 'outbound' : 'inbound' }
  return leg(
    'app-own-port',
    "app → ztunnel's port in its own pod (not captured)",
    'clear',
    `inpod-mode ${entry.facts}, 1.6 row 8, 4.6 row 2`,
    [
      hop('is left alone', pod, trace(pod, 'syn', asked, 'nat OUTPUT ISTIO_OUTPUT', acceptLoopback, 0), packet(lo, 'out', 'syn', asked)),
      hop('comes back over lo', lo, packet(lo, 'in', 'syn', asked), ...entry.overLo(pod, 'syn', asked, 0)),
      hop(
        'is answered by ztunnel',
        lo,
        trace(pod, 'syn-ack', answer, 'mangle PREROUTING ISTIO_PRERT', markConnection, PROXY_MARK),
        ...entry.overLo(pod, 'syn-ack', answer, PROXY_MARK),
        packet(lo, 'in', 'syn-ack', answer),
        conntrack(pod, asked, answer, REPLY_MARK),
        socket(pod, asked.to, asked.from, PROXY_MARK),
      ),
      hop(
        'carries the request',
        lo,
        trace(pod, 'data', asked, 'mangle OUTPUT ISTIO_OUTPUT', restoreMark, REPLY_MARK),
        packet(lo, 'in', 'data', asked),
        requestToken(lo, 'clear', asked),
      ),
      hop(end.title, pod, log(pod, 'connection failed', { ...told, error: end.error }, ['src.identity', 'dst.identity', 'dst.hbone_addr'])),
    ],
  )
}
