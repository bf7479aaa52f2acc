import { loopback, netns } from '../../network.ts'
import { back, conntrack, flow, hop, type Leg, leg, log, packet, served, silence, token, trace } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import type { Release } from '../releases.ts'
import { acceptLoopback, markConnection, PROXY_MARK } from '../rules.ts'

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
