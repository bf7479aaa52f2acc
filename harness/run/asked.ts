import { type ClientRequest, httpPort, tcpPort } from '../../images/lib/app-protocol.ts'
import { formatIdentity, parseIdentity } from '../../images/lib/identity.ts'
import type { Expectation } from '../judge/expectation.ts'
import type { Case } from '../matrix/cell.ts'
import type { Attempt } from '../traffic/attempt.ts'
import type { Certificates } from '../traffic/certificates.ts'

export type Asked = Pick<ClientRequest, 'host' | 'port' | 'tunnel'> & Pick<Case, 'protocol'>

/**
 * What a case's client asks for in one of its requests: the main one goes where the case says; what opens its tunnel, and the control of a case that
 * is about the address itself, go to the app.
 */
export async function askedFor(e: Expectation, role: Attempt['role'], certificates: Certificates): Promise<Asked> {
  const { protocol, traffic, forgery } = e.case
  const app = `${e.server.ip}:${protocol === 'http' ? httpPort : tcpPort}`
  const atApp = (traffic === 'direct' && role !== 'main') || (forgery === 'other-authority' && role === 'negative')
  const [host = '', port = ''] = (atApp ? app : e.destination).split(':')
  const asked = { protocol, host, port: Number(port) }
  if (traffic !== 'forged') return asked
  const honest = role === 'negative'
  const [own, meshs] = [e.client.identity, e.server.identity].map((uri) => parseIdentity(uri))
  if (!own || !meshs)
    throw new Error(`case ${e.case.id}: client and server need SPIFFE identities, they are ${e.client.identity} and ${e.server.identity}`)
  const identity = formatIdentity(honest ? { ...own, trustDomain: meshs.trustDomain } : own)
  const certificate = await certificates.issue(identity, forgery === 'foreign-ca' && !honest ? 'foreign' : 'mesh')
  return { ...asked, tunnel: { endpoint: `${e.server.ip}:${HBONE_PORT}`, server: e.server.identity, certificate } }
}

/** Where HBONE is listened for (facts inpod-mode 1.0). */
export const HBONE_PORT = 15008
