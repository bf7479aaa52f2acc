/**
 * How the apps are told what to do: newline-separated JSON over a UNIX stream socket in the pod, one `ClientRequest` a line,
 * one `ClientResult` a line back, in any order. No TCP connection and no kubectl exec, so that no token leaks onto a network.
 * The httpbin app, which can be a client too, has a socket of its own for `ServerCommand`s.
 */
export const clientSocket = '/var/run/everyhop/sleep.sock'
export const serverSocket = '/var/run/everyhop/httpbin.sock'

/** Ports of httpbin: HTTP/1 echo, HTTP/2 echo (prior knowledge), raw TCP echo, UDP echo. */
export const httpPort = 8080
export const http2Port = 8081
export const tcpPort = 9000
export const udpPort = 9001
/** Raw TCP where not the client decides who says what when: see `Exchange`. */
export const clientHalfClosePort = 9002
export const serverHalfClosePort = 9003
export const serverFirstPort = 9004
/** All of them. */
export const serverPorts = [httpPort, http2Port, tcpPort, udpPort, clientHalfClosePort, serverHalfClosePort, serverFirstPort]

/**
 * Who says what in a raw TCP connection, and in which order. `echo`: the client sends and closes its side, what it sent comes back as it comes.
 * `client-half-close`: the same, but nothing comes back before the server has seen the client's end.
 * `server-half-close`: a line and its echo, the server ends its side, and only then the client sends its line once more and ends.
 * `server-first`: the server greets before the client says anything; then as `echo`.
 * `bulk`: 8 MiB there and back, whose first and last bytes travel alone (see bulk.ts).
 */
export type Exchange = 'echo' | 'client-half-close' | 'server-half-close' | 'server-first' | 'bulk'

/** What the server says first on `serverFirstPort`. */
export const greeting = 'everyhop: speak\n'

export interface ClientRequest {
  /** Unique in the run; comes back in the result. */
  readonly id: string
  readonly protocol: 'http' | 'http2' | 'tcp' | 'udp' | 'dns'
  /** IPv4 address or DNS name. */
  readonly host: string
  readonly port: number
  /** HTTP/1 and HTTP/2. @default `/anything` */
  readonly path?: string
  /**
   * HTTP: POSTed as text/plain to `path`. TCP: sent as the exchange says. UDP: one datagram, whose echo is awaited.
   * DNS: carried along in an EDNS option (65001, for local use) of the question.
   */
  readonly body: string
  /** Whole request, milliseconds. */
  readonly timeoutMs: number
  /** TCP only. @default echo */
  readonly exchange?: Exchange | undefined
  /** Address of a name server: `host` is asked there first (one A question over UDP). Without it, the system's resolver is. */
  readonly resolver?: string | undefined
  /** DNS: what to ask for (A), and over what. */
  readonly question?: { readonly name: string; readonly transport: 'udp' | 'tcp' } | undefined
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
  /**
   * HTTP: the whole answer came, with a 2xx status. TCP and UDP: the echo was what had been sent, and TCP ended as the exchange says.
   * DNS: an answer without error, with an address. A command that is none is answered too (code EBADREQUEST).
   */
  readonly ok: boolean
  /** HTTP status. */
  readonly status?: number
  /** What came back, as text: HTTP body, or the echo; of a bulk exchange the first and last block. */
  readonly body?: string
  /** What a name server answered: to a DNS request, or to the question that `resolver` asks for. */
  readonly answer?: DnsAnswer
  /** Of a bulk exchange: what the client sent, and what it got. */
  readonly sent?: Digest
  readonly received?: Digest
  /** The client socket's own ends, as getsockname and getpeername gave them after connect; absent if connect failed (then `localPort` is what it had been bound to, if known). */
  readonly localAddress?: string
  readonly localPort?: number
  readonly remoteAddress?: string
  readonly remotePort?: number
  /**
   * Why not ok: Node's code (ECONNREFUSED, ECONNRESET, ENOTFOUND …), ETIMEDOUT, `HTTP_<status>`, `DNS_<code>`, EECHO (wrong or short echo); for a tunnel ETLS,
   * `HBONE_<status>`, EHBONE (closed without an answer). `phase`: how far it got.
   */
  readonly error?: { readonly code: string; readonly message: string; readonly phase: 'resolve' | 'connect' | 'tunnel' | 'request' }
  /** Wall clock, milliseconds since 1970 with fractions. */
  readonly startedAt: number
  readonly connectedAt?: number
  readonly endedAt: number
}

export interface DnsAnswer {
  /** Who answered, as the client's socket saw it, `10.96.0.10:53`. */
  readonly from: string
  /** The port that was asked from. */
  readonly localPort: number
  /** `NOERROR`, `NXDOMAIN` … */
  readonly code: string
  /** A records, sorted. */
  readonly addresses: string[]
}

/** Bytes of one direction of a connection, and their SHA-256 in hex. */
export interface Digest {
  readonly bytes: number
  readonly sha256: string
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
  readonly protocol: 'http' | 'http2' | 'tcp' | 'udp'
  /** The peer as the server's socket saw it. */
  readonly peer: string
  readonly local: string
  /** First 256 bytes of the body, text. */
  readonly body: string
  readonly bytes: number
  /** Of the whole body. */
  readonly sha256: string
}
