import {
  clientHalfClosePort,
  http2Port,
  httpPort,
  serverFirstPort,
  serverHalfClosePort,
  tcpPort,
  udpPort,
} from '../../images/lib/app-protocol.ts'
import type { AppPorts } from '../matrix/bind.ts'
import type { Case } from '../matrix/cell.ts'

/** Ports of the server app, and of the services that the topologies put before it. */
export const appPorts: AppPorts = {
  http: { pod: httpPort, service: 80 },
  http2: { pod: http2Port, service: http2Port },
  tcp: { pod: tcpPort, service: tcpPort },
  udp: { pod: udpPort, service: udpPort },
  'client-half-close': { pod: clientHalfClosePort, service: clientHalfClosePort },
  'server-half-close': { pod: serverHalfClosePort, service: serverHalfClosePort },
  'server-first': { pod: serverFirstPort, service: serverFirstPort },
}

/** TCP ports of the server app, each once. */
export const tcpPorts = Object.values(appPorts).flatMap((p) => (p.pod === udpPort ? [] : [p.pod]))

/** The one condition that a case rests on, which its negative control takes away. */
export function decisiveOf(c: Case): string {
  if (c.traffic === 'direct') return "a port of ztunnel's own"
  if (c.traffic === 'mesh-to-impostor') return 'a certificate of somebody else'
  if (c.forgery === 'foreign-ca') return 'a certificate that another CA signed'
  if (c.forgery === 'foreign-trust-domain') return 'an identity of another trust domain'
  if (c.forgery === 'other-authority') return "a CONNECT to another pod's address"
  if (c.policy === 'strict' && c.traffic === 'plain-to-mesh') return 'strict mutual TLS'
  if (c.policy === 'revoked') return 'a policy that denies, while the server works at its answer'
  if (c.policy === 'deny') return 'a policy that allows only somebody else'
  if (c.policy === 'allow') return 'a policy that allows this client, and none that denies'
  if (c.question) return 'a name that somebody has'
  return restsOnListener(c) ? 'a listening server' : 'no policy that denies'
}

/** No policy can refuse it: its negative control closes the server's port. */
export function restsOnListener({ traffic, protocol, address }: Case): boolean {
  return traffic === 'mesh-to-plain' || traffic === 'probe' || protocol === 'udp' || (traffic === 'self' && address === 'pod-ip')
}
