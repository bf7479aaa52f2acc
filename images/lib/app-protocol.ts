/**
 * How the sleep app is told what to do: newline-separated JSON over a UNIX stream socket in the pod, one `ClientRequest` a line,
 * one `ClientResult` a line back, in any order. No TCP connection and no kubectl exec, so that no token leaks onto a network.
 * The httpbin app has a socket of its own for `ServerCommand`s.
 */
export const clientSocket = '/var/run/everyhop/sleep.sock'
export const serverSocket = '/var/run/everyhop/httpbin.sock'

/** Ports of httpbin: HTTP echo, raw TCP echo, UDP echo. */
export const httpPort = 8080
export const tcpPort = 9000
export const udpPort = 9001

export interface ClientRequest {
  /** Unique in the run; comes back in the result. */
  readonly id: string
  readonly protocol: 'http' | 'tcp'
  /** IPv4 address or DNS name. */
  readonly host: string
  readonly port: number
  /** HTTP only. @default `/anything` */
  readonly path?: string
  /** HTTP: POSTed as text/plain to `path`. TCP: sent, then the write side is closed, and the echo is read to its end. */
  readonly body: string
  /** Whole request, milliseconds. */
  readonly timeoutMs: number
  /** Through an HBONE tunnel that the client makes itself: it dials `endpoint` and asks there for `host` and `port`. */
  readonly tunnel?: {
    /** IPv4 address and port of the HBONE listener, `10.244.1.5:15008`. */
    readonly endpoint: string
    readonly certificate: Certificate
    /** SPIFFE identity that the listener's certificate must show. */
    readonly server: string
  }
}

/** What a peer shows and trusts: its chain and key, and the roots that it accepts, as PEM texts. */
export interface Certificate {
  readonly chainPem: string
  readonly keyPem: string
  readonly rootPem: string
}

export interface ClientResult {
  readonly id: string
  /** HTTP: the whole answer came, with a 2xx status. TCP: the echo was what had been sent, and ended. A command that is none is answered too (code EBADREQUEST). */
  readonly ok: boolean
  /** HTTP status. */
  readonly status?: number
  /** What came back, as text: HTTP body, or the TCP echo. */
  readonly body?: string
  /** The client socket's own ends, as getsockname and getpeername gave them after connect; absent if connect failed (then `localPort` is what it had been bound to, if known). */
  readonly localAddress?: string
  readonly localPort?: number
  readonly remoteAddress?: string
  readonly remotePort?: number
  /**
   * Why not ok: Node's code (ECONNREFUSED, ECONNRESET, ENOTFOUND …), ETIMEDOUT, `HTTP_<status>`, EECHO (wrong or short echo); for a tunnel ETLS,
   * `HBONE_<status>`, EHBONE (closed without an answer). `phase`: how far it got.
   */
  readonly error?: { readonly code: string; readonly message: string; readonly phase: 'resolve' | 'connect' | 'tunnel' | 'request' }
  /** Wall clock, milliseconds since 1970 with fractions. */
  readonly startedAt: number
  readonly connectedAt?: number
  readonly endedAt: number
}

/** `hbone`: listen on `port` for HBONE, with this certificate; what comes through its tunnels goes to this pod's own ports. Ends an earlier listener there. */
export type ServerCommand = { readonly id: string; readonly port: number } & (
  | { readonly action: 'close' | 'open' }
  | { readonly action: 'hbone'; readonly certificate: Certificate }
)
export interface ServerResult {
  readonly id: string
  readonly ok: boolean
  readonly error?: string
  /** `hbone`: where it listens. */
  readonly port?: number
}

/** What httpbin prints on stdout, one JSON line for each request or connection it served, when it has the whole body and before it answers. */
export interface ServerLogLine {
  readonly event: 'served'
  readonly protocol: 'http' | 'tcp' | 'udp'
  /** The peer as the server's socket saw it. */
  readonly peer: string
  readonly local: string
  /** First 256 bytes of the body, text. */
  readonly body: string
  readonly bytes: number
}
