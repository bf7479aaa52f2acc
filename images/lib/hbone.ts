import type { TLSSocket } from 'node:tls'
import { ClientConnection } from './h2/client-connection.ts'
import { code } from './h2/frame.ts'
import type { Headers } from './h2/message.ts'
import { ServerConnection } from './h2/server-connection.ts'
import type { Tunnel } from './h2/tunnel.ts'
import { certificateIdentity, type Identity } from './identity.ts'

/** Sizes in bytes, times in milliseconds; defaults are upstream's (Istio ztunnel, src/config.rs and src/proxy/h2). */
export interface HboneOptions {
  readonly windowSize: number
  readonly connectionWindowSize: number
  readonly frameSize: number
  readonly pingInterval: number
  readonly pingTimeout: number
}

export const hboneDefaults: HboneOptions = {
  windowSize: 4 << 20,
  connectionWindowSize: 16 << 20,
  frameSize: 1 << 20,
  pingInterval: 10_000,
  pingTimeout: 20_000,
}

const maxServerStreams = 200
const clientHeaderList = 16 << 10
const serverHeaderList = 64 << 10

/** Why a CONNECT got no tunnel. `status`: the server's answer; `retryable`: the server has not looked at it, so another connection may take it. */
export class HboneError extends Error {
  readonly status: number | undefined
  readonly retryable: boolean
  constructor(message: string, options: { status?: number; retryable?: boolean } = {}) {
    super(message)
    this.name = 'HboneError'
    this.status = options.status
    this.retryable = options.retryable ?? false
  }
}

/** The client's end of an HBONE connection: tunnels on one HTTP/2 connection over an established mTLS socket. */
export class HboneClient {
  readonly #connection: ClientConnection
  readonly #ping: NodeJS.Timeout
  /** Tunnels open or being opened. */
  streams = 0
  /** Called whenever a tunnel ended or the connection can take no more. */
  onChange: () => void = () => {}
  /** Who the server showed itself to be. */
  readonly peer: Identity | undefined

  constructor(socket: TLSSocket, options: HboneOptions) {
    this.peer = certificateIdentity(socket.getPeerCertificate())
    this.#ping = setInterval(() => this.#checkAlive(options.pingTimeout), options.pingInterval)
    this.#ping.unref()
    this.#connection = new ClientConnection(
      socket,
      { ...options, maxHeaderList: clientHeaderList },
      {
        onRetired: () => this.onChange(),
        onClose: () => clearInterval(this.#ping),
      },
    )
  }

  /** Whether a further tunnel may be opened; false for good after GOAWAY, an error or close. */
  get usable(): boolean {
    return this.#connection.usable
  }

  /** The server's limit on concurrent tunnels. */
  get maxStreams(): number {
    return this.#connection.peer.maxStreams
  }

  /**
   * Opens a tunnel to `authority`; resolves with it and the answer's headers when the server said 200.
   * @throws HboneError `http status: 401 Unauthorized` and the like, or why the connection failed
   */
  connect(authority: string, headers: Readonly<Record<string, string>>): Promise<{ tunnel: Tunnel; headers: Headers }> {
    const { promise, resolve, reject } = Promise.withResolvers<{ tunnel: Tunnel; headers: Headers }>()
    if (!this.usable) {
      reject(new HboneError(`connection failed: ${this.#why()}`, { retryable: true }))
      return promise
    }
    const fields = [[':method', 'CONNECT'], [':authority', authority], ...Object.entries(headers)] as const
    const tunnel = this.#connection.open(fields, (answer) => {
      const status = Number(answer[':status'])
      if (status === 200) return resolve({ tunnel, headers: answer })
      reject(new HboneError(`http status: ${status} ${reasons[status] ?? ''}`.trim(), { status }))
      tunnel.reset(code.cancel)
    })
    this.streams++
    tunnel.onClosed = () => {
      this.streams--
      this.onChange()
      const retryable = tunnel.resetCode === code.refused || !this.usable
      reject(
        new HboneError(`connection failed: ${this.usable ? `stream reset with code ${tunnel.resetCode}` : this.#why()}`, { retryable }),
      )
    }
    return promise
  }

  #why(): string {
    return this.#connection.error?.message ?? 'the server closes the connection'
  }

  /** No new tunnels; those that are open may end, then the connection closes. */
  close(): void {
    this.#connection.close()
  }

  destroy(): void {
    this.#connection.destroy()
  }

  /** A peer that says nothing is gone. One that says other things is only slow: its tunnels live on, but no new ones are given to it. */
  #checkAlive(timeout: number): void {
    if (this.#connection.over) return
    const heard = this.#connection.bytesRead
    const timer = setTimeout(() => {
      if (this.#connection.bytesRead === heard) this.destroy()
      else this.close()
    }, timeout)
    timer.unref()
    this.#connection.ping(() => clearTimeout(timer))
  }
}

/** One CONNECT that came in. Answer it exactly once, by `accept` or `refuse`. */
export interface HboneRequest {
  readonly method: string
  readonly authority: string
  readonly headers: Headers
  /** Answers 200 and gives the tunnel; undefined when the client has given up meanwhile. */
  accept(headers?: Readonly<Record<string, string>>): Tunnel | undefined
  refuse(status: number): void
}

export interface HboneServer {
  /** GOAWAY; open tunnels may end. */
  close(): void
  destroy(): void
  readonly closed: Promise<void>
}

/**
 * The server's end on an established mTLS socket. Frames that break the protocol end this connection only.
 * @param onError told why, in words for the log
 */
export function serveHbone(
  socket: TLSSocket,
  options: HboneOptions,
  onRequest: (request: HboneRequest) => void,
  onError: (error: Error) => void,
): HboneServer {
  const closed = Promise.withResolvers<void>()
  const connection = new ServerConnection(socket, { ...options, maxHeaderList: serverHeaderList }, maxServerStreams, {
    onRequest: (headers, tunnel) =>
      onRequest({
        method: headers[':method']!,
        authority: headers[':authority'] ?? '',
        headers,
        accept(extra = {}) {
          if (tunnel.closed) return undefined
          connection.respond(tunnel, [[':status', '200'], ...Object.entries(extra)], false)
          return tunnel
        },
        refuse: (status) => connection.respond(tunnel, [[':status', String(status)]], true),
      }),
    onError,
    onClose: () => closed.resolve(),
  })
  return {
    close: () => connection.close(),
    destroy: () => connection.destroy(),
    closed: closed.promise,
  }
}

const reasons: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}
