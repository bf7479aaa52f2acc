import { across, netns } from '../../network.ts'
import { flow, hop, type Leg, type LogProof, leg, log, socket, trace } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import type { Release } from '../releases.ts'
import { PROXY_MARK, untouched } from '../rules.ts'

/** How ztunnel tells of an HBONE peer that is not what it says, or may not do what it asks: facts 4.2 server checks, 4.5, 4.7, 4.8. */
function end(c: BoundCase): { title: string; told: LogProof } {
  const pod = netns(c.server)
  const arrival = { 'src.addr': `${c.client.ip}:$hbone`, 'dst.addr': `${c.server.ip}:15008`, direction: 'inbound' }
  const early = (error: string) => log(pod, 'connection failed', { ...arrival, error }, ['src.identity', 'dst.hbone_addr'])
  switch (c.case.forgery) {
    case 'foreign-ca':
      return { title: 'is refused in the handshake', told: early('tls error: *') }
    case 'foreign-trust-domain':
      return { title: 'is refused in the handshake', told: early('identity error: *') }
    case 'other-authority': {
      const [asked] = c.destination.split(':')
      return { title: "is refused as another pod's", told: early(`ip mismatch: ${c.server.ip} != ${asked}`) }
    }
    default: {
      const error = 'connection closed due to policy rejection: allow policies exist, but none allowed'
      const identities = { 'src.identity': c.client.identity, 'dst.identity': c.server.identity }
      return {
        title: 'is refused by policy',
        told: log(pod, 'connection complete', { ...arrival, 'dst.hbone_addr': c.destination, ...identities, error }),
      }
    }
  }
}

/** A pod outside the mesh that speaks HBONE itself, with a certificate of its own making. Nothing goes further than ztunnel. */
export function forgedToZtunnel(c: BoundCase, { entry }: Release): Leg {
  const tunnel = flow(`${c.client.ip}:$hbone`, `${c.server.ip}:15008`)
  const pod = netns(c.server)
  const { title, told } = end(c)
  return leg('forged-ztunnel', 'forged peer → ztunnel (HBONE)', 'sealed', `inpod-mode ${entry.facts}, 1.6 row 4, 4.2, 4.5, 4.7, 4.8`, [
    ...across(c, tunnel, 'sealed', c.client, c.server),
    ...entry.hbone(c, tunnel),
    hop(title, pod, socket(pod, tunnel.to, tunnel.from, PROXY_MARK), told),
  ])
}

/** To a server that shows another certificate than the mesh expects of it: the handshake is all that it gets (facts 4.2 client checks, 4.4 row 8, 4.8). */
export function ztunnelToImpostor(c: BoundCase, { entry }: Release): Leg {
  const from = netns(c.client)
  const tunnel = flow(`${c.client.ip}:$hbone`, `${c.server.ip}:15008`)
  const told = {
    'src.addr': `${c.client.ip}:$turned`,
    'dst.addr': tunnel.to,
    'dst.hbone_addr': c.endpoint,
    direction: 'outbound',
    // Its own and the expected one, though the other side never proved it.
    'src.identity': c.client.identity,
    'dst.identity': c.server.identity,
  }
  return leg('ztunnel-impostor', 'ztunnel → impostor (HBONE)', 'sealed', 'inpod-mode 1.6 row 10, 4.2, 4.4 row 8, 4.8', [
    hop('leaves ztunnel uncaptured', from, trace(from, 'syn', tunnel, 'nat OUTPUT', untouched, PROXY_MARK)),
    ...entry.answered(from, tunnel),
    ...across(c, tunnel, 'sealed', c.client, c.server),
    hop(
      'is given up by the client side',
      from,
      socket(from, tunnel.from, tunnel.to, PROXY_MARK),
      log(from, 'connection complete', { ...told, error: 'identity error: *' }),
    ),
  ])
}
