import * as http2 from 'node:http2'
import type { TLSSocket } from 'node:tls'
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
/** Megabytes; Node's default of 10 is less than one full connection window. */
const sessionMemory = 64

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

/** The client's end of an HBONE connection: tunnels on one HTTP/2 session over an established mTLS socket. */
export class HboneClient {
  readonly #socket: TLSSocket
  readonly #session: http2.ClientHttp2Session
  readonly #ping: NodeJS.Timeout
  #usable = true
  /** Tunnels open or being opened. */
  streams = 0
  /** Called whenever a tunnel ended or the connection can take no more. */
  onChange: () => void = () => {}
  /** Who the server showed itself to be. */
  readonly peer: Identity | undefined

  constructor(socket: TLSSocket, options: HboneOptions) {
    this.#socket = socket
    this.peer = certificateIdentity(socket.getPeerCertificate())
    this.#session = http2.connect('https://hbone', {
      createConnection: () => socket,
      maxSessionMemory: sessionMemory,
      settings: { enablePush: false, initialWindowSize: options.windowSize, maxFrameSize: options.frameSize, maxHeaderListSize: 16 << 10 },
    })
    this.#session.once('connect', () => this.#session.setLocalWindowSize(options.connectionWindowSize))
    // Errors reach the streams; the session itself only has to be given up.
    this.#session.on('error', () => this.#retire())
    this.#session.on('goaway', () => this.#retire())
    this.#session.on('close', () => {
      clearInterval(this.#ping)
      this.#retire()
    })
    this.#ping = setInterval(() => this.#checkAlive(options.pingTimeout), options.pingInterval)
    this.#ping.unref()
  }

  /** Whether a further tunnel may be opened; false for good after GOAWAY, an error or close. */
  get usable(): boolean {
    return this.#usable && !this.#session.closed && !this.#session.destroyed
  }

  /** The server's limit on concurrent tunnels. */
  get maxStreams(): number {
    return this.#session.remoteSettings?.maxConcurrentStreams ?? Number.POSITIVE_INFINITY
  }

  /**
   * Opens a tunnel to `authority`; resolves with the stream and the answer's headers when the server said 200.
   * @throws HboneError `http status: 401 Unauthorized` and the like, or why the connection failed
   */
  connect(
    authority: string,
    headers: Record<string, string>,
  ): Promise<{ stream: http2.ClientHttp2Stream; headers: http2.IncomingHttpHeaders }> {
    return new Promise((resolve, reject) => {
      let stream: http2.ClientHttp2Stream
      try {
        stream = this.#session.request({ ':method': 'CONNECT', ':authority': authority, ...headers }, { endStream: false })
      } catch (error) {
        reject(new HboneError(`connection failed: ${(error as Error).message}`, { retryable: true }))
        return
      }
      this.streams++
      let failure: Error | undefined
      const onError = (error: Error) => {
        failure = error
      }
      const onClose = () => {
        const refused = stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM || !this.usable
        reject(
          new HboneError(`connection failed: ${failure?.message ?? `stream reset with code ${stream.rstCode}`}`, { retryable: refused }),
        )
      }
      stream.on('error', onError)
      stream.once('close', () => {
        this.streams--
        this.onChange()
      })
      stream.once('close', onClose)
      stream.once('response', (answer) => {
        stream.off('close', onClose)
        const status = answer[':status'] ?? 0
        if (status === 200) {
          resolve({ stream, headers: answer })
          return
        }
        stream.resume()
        stream.close(http2.constants.NGHTTP2_CANCEL)
        reject(new HboneError(`http status: ${status} ${reasons[status] ?? ''}`.trim(), { status }))
      })
    })
  }

  /** No new tunnels; those that are open may end, then the connection closes. */
  close(): void {
    this.#retire()
    if (!this.#session.destroyed) this.#session.close()
  }

  destroy(): void {
    this.#retire()
    this.#session.destroy()
  }

  #retire(): void {
    if (!this.#usable) return
    this.#usable = false
    this.onChange()
  }

  /** A peer that says nothing is gone. One that says other things is only slow: its tunnels live on, but no new ones are given to it. */
  #checkAlive(timeout: number): void {
    if (this.#session.destroyed || this.#session.connecting) return
    const heard = this.#socket.bytesRead
    const timer = setTimeout(() => {
      if (this.#socket.bytesRead === heard) this.destroy()
      else this.close()
    }, timeout)
    timer.unref()
    try {
      const sent = this.#session.ping(() => clearTimeout(timer))
      if (!sent) clearTimeout(timer)
    } catch {
      clearTimeout(timer)
    }
  }
}

/** One CONNECT that came in. Answer it exactly once, by `accept` or `refuse`. */
export interface HboneRequest {
  readonly method: string
  readonly authority: string
  readonly headers: http2.IncomingHttpHeaders
  /** Answers 200 and gives the tunnel; undefined when the client has given up meanwhile. */
  accept(headers?: Record<string, string>): http2.ServerHttp2Stream | undefined
  refuse(status: number): void
  /** Fires when the client gave up. */
  readonly aborted: AbortSignal
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
  const session = http2.performServerHandshake(socket, {
    maxSessionMemory: sessionMemory,
    settings: {
      initialWindowSize: options.windowSize,
      maxFrameSize: options.frameSize,
      maxHeaderListSize: 64 << 10,
      maxConcurrentStreams: maxServerStreams,
    },
  })
  // The session gets its engine in the next tick; this comes after.
  process.nextTick(() => {
    if (!session.destroyed) session.setLocalWindowSize(options.connectionWindowSize)
  })
  const closed = Promise.withResolvers<void>()
  session.on('error', onError)
  session.once('close', () => closed.resolve())
  session.on('stream', (stream, headers) => {
    const gone = new AbortController()
    stream.on('error', () => gone.abort())
    stream.once('close', () => gone.abort())
    let answered = false
    const respond = (status: number, extra: Record<string, string>, endStream: boolean) => {
      if (answered || stream.destroyed || stream.closed) return false
      answered = true
      stream.respond({ ':status': status, ...extra }, { endStream, sendDate: false } as http2.ServerStreamResponseOptions)
      return true
    }
    onRequest({
      method: String(headers[':method'] ?? ''),
      authority: String(headers[':authority'] ?? ''),
      headers,
      aborted: gone.signal,
      accept: (extra = {}) => (respond(200, extra, false) ? stream : undefined),
      refuse(status) {
        if (!respond(status, {}, true)) return
        // Whatever the client still sends is of no use.
        stream.resume()
        stream.once('finish', () => stream.close(http2.constants.NGHTTP2_NO_ERROR))
      },
    })
  })
  return {
    close: () => {
      if (!session.destroyed) session.close()
    },
    destroy: () => session.destroy(),
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
