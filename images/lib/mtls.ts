import { constants } from 'node:crypto'
import type { Socket } from 'node:net'
import * as tls from 'node:tls'
import { certificateIdentity, formatIdentity, type Identity, uriNames } from './identity.ts'

/** The only suites that HBONE peers use. */
const ciphers = 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256'

export interface MtlsMaterial {
  readonly chainPem: string
  readonly keyPem: string
  /** One or more roots. */
  readonly rootPem: string
}

/** A handshake that ended without a session; the message begins as upstream's: `tls error: …` or `identity error: …`. */
export class MtlsError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'MtlsError'
  }
}

/** TLS 1.3 only, no session resumption: a stateful ticket without a cache can never be used. Costs about half a millisecond; keep it. */
export function mtlsContext(material: MtlsMaterial): tls.SecureContext {
  return tls.createSecureContext({
    cert: material.chainPem,
    key: material.keyPem,
    ca: material.rootPem,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ciphers,
    secureOptions: constants.SSL_OP_NO_TICKET,
  })
}

export interface Secured {
  readonly socket: tls.TLSSocket
  readonly peer: Identity
}

/**
 * The server side of a handshake on an accepted connection. The client must have a certificate that chains to our root and carries one SPIFFE identity of
 * `trustDomain`, and must choose ALPN h2. Takes over `raw`: it is destroyed when the promise rejects (MtlsError).
 *
 * A TLSSocket made around an accepted socket does NOT refuse a certificate of a foreign CA by itself, whatever `rejectUnauthorized` says
 * (only tls.Server does): the verification result must be read here.
 */
export function acceptMtls(raw: Socket, context: tls.SecureContext, trustDomain: string, timeout: number): Promise<Secured> {
  endTogether(raw)
  const socket = new tls.TLSSocket(raw, {
    isServer: true,
    secureContext: context,
    requestCert: true,
    rejectUnauthorized: true,
    ALPNProtocols: ['h2'],
  })
  return handshake(raw, socket, 'secure', timeout, () => {
    const failure = verifyError(socket)
    if (failure) throw new MtlsError(`tls error: client certificate refused: ${failure.code ?? failure.message}`)
    if (socket.alpnProtocol !== 'h2') throw new MtlsError('tls error: the client did not choose ALPN h2')
    const certificate = socket.getPeerCertificate()
    const peer = certificateIdentity(certificate)
    if (!peer)
      throw new MtlsError(`identity error: the client certificate has no SPIFFE identity (${certificate.subjectaltname ?? 'no names'})`)
    if (peer.trustDomain !== trustDomain)
      throw new MtlsError(`identity error: ${formatIdentity(peer)} is not of the trust domain ${trustDomain}`)
    // As tls.Server does; node:http2 waits for it.
    Object.assign(socket, { secureConnecting: false })
    return peer
  })
}

/**
 * The client side on a connected socket: no SNI, ALPN h2, the server's chain is verified and its URI name must be one of `expected`.
 * Takes over `raw`: it is destroyed when the promise rejects (MtlsError).
 */
export function connectMtls(raw: Socket, context: tls.SecureContext, expected: readonly string[], timeout: number): Promise<Secured> {
  endTogether(raw)
  const socket = tls.connect({
    socket: raw,
    secureContext: context,
    ALPNProtocols: ['h2'],
    servername: '',
    rejectUnauthorized: true,
    checkServerIdentity: (_host, certificate) => {
      const names = uriNames(certificate.subjectaltname)
      if (names.length === 1 && expected.includes(names[0]!)) return undefined
      return new MtlsError(`identity error: the server is ${names.join(', ') || 'without a URI name'}, expected ${expected.join(' or ')}`)
    },
  })
  return handshake(raw, socket, 'secureConnect', timeout, () => {
    if (!socket.authorized) throw new MtlsError(`tls error: server certificate refused: ${socket.authorizationError}`)
    if (socket.alpnProtocol !== 'h2') throw new MtlsError('tls error: the server did not choose ALPN h2')
    const peer = certificateIdentity(socket.getPeerCertificate())
    if (!peer) throw new MtlsError('identity error: the server certificate has no SPIFFE identity')
    return peer
  })
}

/** The connection below is not half-closed: a peer that goes away must be noticed by the session, whatever the socket was made for. */
function endTogether(raw: Socket): void {
  raw.allowHalfOpen = false
}

function handshake(
  raw: Socket,
  socket: tls.TLSSocket,
  event: 'secure' | 'secureConnect',
  timeout: number,
  check: () => Identity,
): Promise<Secured> {
  return new Promise((resolve, reject) => {
    const finish = (error: Error | undefined, peer?: Identity) => {
      clearTimeout(timer)
      socket.off('close', onClose)
      if (peer) {
        socket.off('error', onError)
        resolve({ socket, peer })
        return
      }
      // Late errors of a socket that is given up must not end the process.
      raw.on('error', () => {})
      socket.destroy()
      raw.destroy()
      reject(error instanceof MtlsError ? error : new MtlsError(`tls error: ${describe(error)}`))
    }
    const onError = (error: Error) => finish(error)
    const onClose = () => finish(new MtlsError('tls error: the peer closed during the handshake'))
    const timer = setTimeout(() => finish(new MtlsError(`tls error: no handshake within ${timeout} ms`)), timeout)
    socket.on('error', onError)
    socket.on('close', onClose)
    socket.once(event as 'secureConnect', () => {
      try {
        finish(undefined, check())
      } catch (error) {
        finish(error as Error)
      }
    })
  })
}

/** OpenSSL's reason and code without its internal addresses. */
function describe(error: (Error & { code?: string; reason?: string }) | undefined): string {
  if (!error) return 'handshake failed'
  return error.reason && error.code ? `${error.reason} (${error.code})` : error.message
}

/** What OpenSSL found wrong with the peer's chain; Node has no public way to ask a server-side TLSSocket. */
function verifyError(socket: tls.TLSSocket): (Error & { code?: string }) | null {
  const { ssl } = socket as unknown as { ssl?: { verifyError(): (Error & { code?: string }) | null } }
  if (!ssl) return new Error('the TLS engine is gone')
  return ssl.verifyError()
}
