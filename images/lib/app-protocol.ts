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
  /** HTTP: POSTed as text/plain to `/anything`. TCP: sent, then the write side is closed, and the echo is read to its end. */
  readonly body: string
  /** Whole request, milliseconds. */
  readonly timeoutMs: number
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
  /** Why not ok: Node's code (ECONNREFUSED, ECONNRESET, ENOTFOUND …), ETIMEDOUT, `HTTP_<status>`, EECHO (wrong or short echo). `phase`: how far it got. */
  readonly error?: { readonly code: string; readonly message: string; readonly phase: 'resolve' | 'connect' | 'request' }
  /** Wall clock, milliseconds since 1970 with fractions. */
  readonly startedAt: number
  readonly connectedAt?: number
  readonly endedAt: number
}

export type ServerCommand = { readonly id: string; readonly action: 'close' | 'open'; readonly port: number }
export interface ServerResult {
  readonly id: string
  readonly ok: boolean
  readonly error?: string
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
