import { type ClientRequest, httpPort } from '../../images/lib/app-protocol.ts'
import { formatIdentity, parseIdentity } from '../../images/lib/identity.ts'
import type { Expectation } from '../judge/expectation.ts'
import { spokenIn } from '../matrix/bind.ts'
import type { Attempt } from '../traffic/attempt.ts'
import type { Certificates } from '../traffic/certificates.ts'
import { appPorts } from './decisive.ts'

export type Asked = Pick<ClientRequest, 'host' | 'port' | 'protocol' | 'exchange' | 'tunnel' | 'resolver' | 'question' | 'path'>

/**
 * What a case's client asks for in one of its requests: the main one goes where the case says; what opens its tunnel, and the control of a case that
 * is about the address itself, go to the app.
 */
export async function askedFor(e: Expectation, role: Attempt['role'], certificates: Certificates): Promise<Asked> {
  const { traffic, forgery } = e.case
  if (role === 'opening') return { protocol: 'http', host: e.server.ip, port: httpPort }
  const app = `${e.server.ip}:${appPorts[spokenIn(e.case)].pod}`
  const atApp = (traffic === 'direct' && role !== 'main') || (forgery === 'other-authority' && role === 'negative')
  const asked = askedOf(e, atApp ? app : e.destination)
  // The same question for a name that nobody has.
  if (asked.question && role === 'negative')
    return { ...asked, question: { ...asked.question, name: `nobody.${asked.question.name.replace(/^[^.]+\./, '')}` } }
  if (e.case.policy === 'revoked') return { ...asked, path: `/delay/${role === 'main' ? OVERTAKEN : 0}` }
  if (traffic !== 'forged') return asked
  const honest = role === 'negative'
  const [own, meshs] = [e.client.identity, e.server.identity].map((uri) => parseIdentity(uri))
  if (!own || !meshs)
    throw new Error(`case ${e.case.id}: client and server need SPIFFE identities, they are ${e.client.identity} and ${e.server.identity}`)
  const identity = formatIdentity(honest ? { ...own, trustDomain: meshs.trustDomain } : own)
  const certificate = await certificates.issue(identity, forgery === 'foreign-ca' && !honest ? 'foreign' : 'mesh')
  return { ...asked, tunnel: { endpoint: `${e.server.ip}:${HBONE_PORT}`, server: e.server.identity, certificate } }
}

/** What a case asks for, of this address and port; by name, if it dials one. */
export function askedOf(e: Pick<Expectation, 'case'> & Partial<Pick<Expectation, 'name' | 'resolver'>>, to: string): Asked {
  const { protocol, exchange, question } = e.case
  const port = portOf(to)
  const host = to.slice(0, to.lastIndexOf(':'))
  if (question) return { protocol, host, port, question: { name: e.name ?? '', transport: question.transport } }
  return {
    protocol,
    port,
    ...(e.name === undefined ? { host } : { host: e.name, resolver: e.resolver }),
    ...(exchange === 'echo' ? {} : { exchange }),
  }
}

export const portOf = (end: string) => Number(end.slice(end.lastIndexOf(':') + 1))

/** Longer than a request may take, milliseconds: its answer never comes first. */
const OVERTAKEN = 60_000

/** Where HBONE is listened for (facts inpod-mode 1.0). */
export const HBONE_PORT = 15008
