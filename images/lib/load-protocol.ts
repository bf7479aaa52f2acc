/**
 * How the sleep app is told to make a load, over the same UNIX socket as a request: a line `LoadCommand` starts one, a line `StopCommand` ends it.
 * Back come lines as they are made: one `LoadAnswer` for each request when it has ended, then `LoadEnd`, which tells how many there were.
 */
export interface LoadCommand {
  /** Unique in the run; is in each line that comes back. */
  readonly id: string
  readonly load: LoadOptions
}

export interface LoadOptions {
  /** What each token of the load begins with: random, so that a search for it finds this load and nothing else. 8 to 64 letters and digits. */
  readonly mark: string
  /** IPv4 address or DNS name. */
  readonly host: string
  readonly port: number
  /** Path that is POSTed to. `/anything` echoes; any other only has to answer with a 2xx status. @default /anything */
  readonly path?: string
  /** `new`: each request on a connection of its own. A number: so many connections, opened first and used in turn; one that has broken is not opened again. */
  readonly connections: 'new' | number
  /** A request every so many milliseconds, while fewer than `atOnce` are under way. 0: each as soon as one has ended, `atOnce` of them side by side. */
  readonly everyMs: number
  /** Requests that may be under way: a turn that finds so many is left out, and has no number. */
  readonly atOnce: number
  /** Requests before which it does not end, also when it is told to stop. */
  readonly least: number
  /** After so many requests it makes none until it is told to stop, and then the rest of `least`: kept connections stand idle meanwhile. */
  readonly restAfter?: number
  /** One request, milliseconds. */
  readonly timeoutMs: number
}

export interface StopCommand {
  readonly id: string
  /** Id of the load. */
  readonly stop: string
}

/** What became of one request of a load, told when it has ended. */
export interface LoadAnswer {
  readonly load: string
  /** From 0, without a gap. */
  readonly seq: number
  /** `MARK.SEQ.RANDOM`: what the body was. */
  readonly token: string
  /** Which of the kept connections carried it. */
  readonly connection?: number
  /** The token came back whole. */
  readonly ok: boolean
  /** Why not: Node's code (ECONNRESET, ECONNREFUSED, EPIPE …), ETIMEDOUT, `HTTP_<status>`, EECHO (an answer without the token), ECLOSED (the connection ended before its answer). */
  readonly error?: string
  readonly localPort?: number
  /** Wall clock, milliseconds since 1970 with fractions. */
  readonly startedAt: number
  readonly endedAt: number
}

/** The last line of a load. */
export interface LoadEnd {
  readonly id: string
  readonly load: string
  readonly ok: true
  /** Requests that were numbered: each has its line. */
  readonly sent: number
  readonly startedAt: number
  readonly endedAt: number
}

/** A stop, or a load that could not begin. */
export interface LoadReply {
  readonly id: string
  readonly ok: boolean
  readonly error?: string
}
