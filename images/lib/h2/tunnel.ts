import type { Connection } from './connection.ts'
import { code, type } from './frame.ts'

/** Who takes what comes of one end of a connection, and is told how it ends. */
export interface Sink {
  /** `bytes` are valid during the call only. */
  data(bytes: Buffer): void
  /** The other end sends no more. */
  end(): void
  /** After a `write` that asked to hold back: go on. */
  drained(): void
  /** All that was written has left, and our end with it. */
  finished(): void
  /** It ended otherwise. `reason` is upstream's words. */
  failed(reason: string): void
}

/** One end of a byte stream. */
export interface End {
  /** Begins to hand over what comes, what came before included. */
  open(sink: Sink): void
  /** Takes all of `bytes`, which may change afterwards. @returns false: hold back until `drained` */
  write(bytes: Buffer): boolean
  /** Nothing more follows what was written. */
  end(): void
  pause(): void
  resume(): void
  /** What was written may still leave; then both directions are over. The sink is told nothing more. */
  giveUp(): void
}

/** How long one that is given up may take to send what it holds, milliseconds. */
const lingering = 5_000
/** Less room than this is not worth the next bytes: they would have to be kept elsewhere. */
export const enoughRoom = 64 << 10
const nothing = Buffer.alloc(0)

/** A stream of an HTTP/2 connection that carries bytes both ways (CONNECT). */
export class Tunnel implements End {
  readonly id: number
  readonly #connection: Connection
  /** Octets of DATA that the peer lets us send. */
  sendWindow: number
  /** And we it. */
  #receiveWindow: number
  readonly #window: number
  /** Octets that came and count until the sink has dealt with them. */
  #owed = 0
  /** Dealt with, and not yet told to the peer. */
  #due = 0
  #early: Buffer[] = []
  #held: Buffer[] = []
  #sink: Sink | undefined
  #paused = false
  #ending = false
  #sentEnd = false
  #peerEnded = false
  #leaving: NodeJS.Timeout | undefined
  #failure: string | undefined
  closed = false
  /** Of RST_STREAM, by whoever sent it. */
  resetCode: number | undefined
  /** Called when it is over, however. */
  onClosed: () => void = () => {}

  constructor(connection: Connection, id: number, sendWindow: number, receiveWindow: number) {
    this.#connection = connection
    this.id = id
    this.sendWindow = sendWindow
    this.#receiveWindow = receiveWindow
    this.#window = receiveWindow
  }

  get peerEnded(): boolean {
    return this.#peerEnded
  }

  open(sink: Sink): void {
    this.#sink = sink
    const early = this.#early
    this.#early = []
    for (const bytes of early) sink.data(bytes)
    if (!this.#paused) this.#credit()
    if (this.#peerEnded) sink.end()
    if (this.#failure !== undefined) sink.failed(this.#failure)
  }

  write(bytes: Buffer): boolean {
    if (this.closed || this.#ending) return true
    const sent = this.#held.length === 0 ? this.#send(bytes) : 0
    if (sent < bytes.length) this.#held.push(Buffer.from(bytes.subarray(sent)))
    else if (this.#connection.output.room >= enoughRoom) return true
    this.#connection.blocked.add(this)
    return false
  }

  /** As much as windows and room allow. @returns octets sent */
  #send(bytes: Buffer): number {
    const { output, peer } = this.#connection
    let at = 0
    while (at < bytes.length) {
      const n = Math.min(bytes.length - at, peer.frameSize, this.#connection.sendWindow, this.sendWindow, output.room)
      if (n <= 0) break
      output.data(this.id, bytes, at, at + n)
      this.#connection.sendWindow -= n
      this.sendWindow -= n
      at += n
    }
    return at
  }

  /** There may be room again. @returns whether nothing is left to wait for */
  drain(): boolean {
    while (this.#held.length > 0) {
      const first = this.#held[0]!
      const sent = this.#send(first)
      if (sent < first.length) {
        this.#held[0] = first.subarray(sent)
        return false
      }
      this.#held.shift()
    }
    if (this.#connection.output.room < enoughRoom) return false
    if (this.#leaving) this.reset(code.cancel)
    else if (this.#ending) this.#sendEnd()
    else this.#sink?.drained()
    return true
  }

  end(): void {
    if (this.closed || this.#ending) return
    this.#ending = true
    if (this.#held.length === 0) this.#sendEnd()
  }

  #sendEnd(): void {
    if (this.#sentEnd) return
    this.#sentEnd = true
    this.#connection.output.frame(type.data, 1, this.id, nothing)
    this.#sink?.finished()
    this.#checkDone()
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    if (this.#sink) this.#credit()
  }

  giveUp(): void {
    this.#sink = undefined
    if (this.closed) return
    if (this.#held.length === 0) this.reset(code.cancel)
    else this.#leaving ??= setTimeout(() => this.reset(code.cancel), lingering).unref()
  }

  /** Ends both directions at once. The sink is told nothing more. */
  reset(why: number): void {
    if (this.closed) return
    this.#connection.output.number(type.reset, this.id, why)
    this.#close(why)
  }

  /** @param length of a DATA frame with its padding @returns whether the peer may send so much */
  expect(length: number): boolean {
    this.#receiveWindow -= length
    this.#owed += length
    return this.#receiveWindow >= 0
  }

  deliver(bytes: Buffer): void {
    if (this.closed || this.#leaving) return
    if (this.#sink) this.#sink.data(bytes)
    else this.#early.push(Buffer.from(bytes))
  }

  /** What was expected has been delivered. */
  delivered(): void {
    if (this.#leaving || (this.#sink && !this.#paused)) this.#credit()
  }

  #credit(): void {
    if (this.#owed === 0) return
    this.#connection.consumed(this.#owed)
    this.#due += this.#owed
    this.#owed = 0
    if (this.#due < this.#window / 2 || this.#peerEnded || this.closed) return
    this.#connection.output.number(type.windowUpdate, this.id, this.#due)
    this.#receiveWindow += this.#due
    this.#due = 0
  }

  peerEnd(): void {
    if (this.#peerEnded || this.closed) return
    this.#peerEnded = true
    this.#sink?.end()
    this.#checkDone()
  }

  peerReset(why: number): void {
    if (this.closed) return
    this.#failure = this.#peerEnded ? 'io error: closed by the peer before all was written' : 'io error: stream reset by the peer'
    this.#close(why)
    this.#sink?.failed(this.#failure)
  }

  /** The connection is gone. */
  lost(): void {
    if (this.closed) return
    this.#failure = 'io error: connection closed early'
    this.#close(code.cancel)
    this.#sink?.failed(this.#failure)
  }

  #checkDone(): void {
    if (this.#sentEnd && this.#peerEnded) this.#close(undefined)
  }

  #close(why: number | undefined): void {
    if (this.closed) return
    this.closed = true
    this.resetCode = why
    clearTimeout(this.#leaving)
    this.#held = []
    this.#connection.consumed(this.#owed)
    this.#owed = 0
    this.#connection.forget(this)
    this.onClosed()
  }
}
