import { netns } from '../../network.ts'
import { flow, hop, type Leg, type LogProof, leg, log } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import { captured, heldByZtunnel } from './captured.ts'
import { fromOutside } from './client-ztunnel.ts'

/** How ztunnel tells of an HBONE peer that is not what it says, or may not do what it asks: facts 2.5 inbound HBONE. */
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

/** A pod outside the mesh that speaks HBONE itself, with a certificate of its own making. Nothing goes further than ztunnel (facts 2.3 Z1, 2.5, 4.4). */
export function forgedToZtunnel(c: BoundCase): Leg {
  const tunnel = flow(`${c.client.ip}:$hbone`, `${c.server.ip}:15008`)
  const { title, told } = end(c)
  return leg('forged-ztunnel', 'forged peer → ztunnel (HBONE)', 'sealed', 'geneve-mode 2.3, 2.5, 4.4', [
    ...fromOutside(c, tunnel, tunnel, 'sealed', true),
    ...captured({ c, at: c.server, listener: 'hbone', asked: tunnel, row: 'sealed' }),
    heldByZtunnel({ at: c.server, asked: tunnel }),
    hop(title, netns(c.server), told),
  ])
}
