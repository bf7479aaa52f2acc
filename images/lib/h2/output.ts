import { giveBuffer, spareSize, takeBuffer } from '../spare-buffers.ts'
import { defaultFrameSize, flag, headLength, type, writeHead } from './frame.ts'

/** Frames other than DATA may wait for a peer that reads nothing up to here. */
const limit = 1 << 20

/** What an output belongs to. */
export interface Outlet {
  /** `done` is called when the bytes are no longer needed. */
  write(bytes: Buffer, done: () => void): void
  /** DATA may be added again. */
  onRoom(): void
  /** The peer lets more wait than can be kept. */
  onOverflow(): void
}

/** Gathers the frames of one turn of the event loop into one write; those that come while it is on its way make up the next. */
export class Output {
  readonly #outlet: Outlet
  #buffer: Buffer | undefined
  #length = 0
  #scheduled = false
  #writing = false

  constructor(outlet: Outlet) {
    this.#outlet = outlet
  }

  get empty(): boolean {
    return this.#length === 0 && !this.#writing
  }

  /** Octets of DATA that may be added now, in one frame. */
  get room(): number {
    return spareSize - this.#length - headLength
  }

  frame(kind: number, flags: number, id: number, payload: Buffer): void {
    const at = this.#begin(kind, flags, id, payload.length)
    payload.copy(this.#buffer!, at)
  }

  /** A frame whose payload is one number of four octets. */
  number(kind: number, id: number, value: number): void {
    const at = this.#begin(kind, 0, id, 4)
    this.#buffer!.writeUInt32BE(value, at)
  }

  /** @param from @param to octets of `bytes`, no more than there is room for */
  data(id: number, bytes: Buffer, from: number, to: number): void {
    const at = this.#begin(type.data, 0, id, to - from)
    bytes.copy(this.#buffer!, at, from, to)
  }

  /** HEADERS, and CONTINUATION for what is more than any peer must take in one frame. */
  headers(id: number, block: Buffer, endStream: boolean): void {
    let at = 0
    do {
      const part = block.subarray(at, at + defaultFrameSize)
      const kind = at === 0 ? type.headers : type.continuation
      at += part.length
      this.frame(kind, (at >= block.length ? flag.endHeaders : 0) | (endStream && kind === type.headers ? flag.endStream : 0), id, part)
    } while (at < block.length)
  }

  /** Bytes that are no frame. */
  raw(bytes: Buffer): void {
    const at = this.#reserve(bytes.length)
    bytes.copy(this.#buffer!, at)
  }

  #begin(kind: number, flags: number, id: number, length: number): number {
    const at = this.#reserve(headLength + length)
    writeHead(this.#buffer!, at, length, kind, flags, id)
    return at + headLength
  }

  #reserve(length: number): number {
    const needed = this.#length + length
    this.#buffer ??= takeBuffer()
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(2 * needed)
      this.#buffer.copy(larger, 0, 0, this.#length)
      this.#buffer = larger
      if (needed > limit) setImmediate(() => this.#outlet.onOverflow())
    }
    const at = this.#length
    this.#length = needed
    if (!this.#scheduled && !this.#writing) {
      this.#scheduled = true
      setImmediate(this.#flushScheduled)
    }
    return at
  }

  readonly #flushScheduled = () => {
    this.#scheduled = false
    this.flush()
  }

  /** Writes now what was gathered, unless a write is on its way. */
  flush(): void {
    if (this.#writing || this.#length === 0) return
    const buffer = this.#buffer!
    const length = this.#length
    this.#buffer = undefined
    this.#length = 0
    this.#writing = true
    this.#outlet.write(buffer.subarray(0, length), () => {
      this.#writing = false
      giveBuffer(buffer)
      this.flush()
      this.#outlet.onRoom()
    })
    this.#outlet.onRoom()
  }
}
