import { code, flag, H2Error, headLength, type } from './frame.ts'

/** Told of frames as they come. Buffers are valid during the call only. What it throws ends the reading. */
export interface FrameHandler {
  /** DATA begins: its whole length, padding included, is what flow control counts. */
  dataBegins(id: number, length: number): void
  /** Bytes of the DATA frame that began last. */
  data(bytes: Buffer): void
  dataEnds(endStream: boolean): void
  /** Any other frame of RFC 9113. Frames of unknown types are left out, as it asks for. */
  frame(kind: number, flags: number, id: number, payload: Buffer): void
}

const isKnown = (kind: number) => kind <= type.continuation
const nothing = Buffer.alloc(0)

/** Cuts a byte stream into frames. Holds no more than one frame that is not DATA, and that only if it came in pieces. */
export class FrameReader {
  readonly #handler: FrameHandler
  readonly #maxFrame: number
  readonly #head = Buffer.alloc(headLength)
  #headHeld = 0
  #kind = 0
  #flags = 0
  #id = 0
  /** Octets of the frame's payload still to come; undefined: between frames. */
  #rest: number | undefined
  /** Of DATA: octets of padding at its end; undefined: the octet that says so is still to come. */
  #padding: number | undefined = 0
  #payload: Buffer | undefined
  #payloadHeld = 0

  constructor(handler: FrameHandler, maxFrame: number) {
    this.#handler = handler
    this.#maxFrame = maxFrame
  }

  /** @throws H2Error for frames that are too large or wrongly padded, and whatever the handler throws */
  read(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#rest === undefined) {
        if (this.#headHeld === 0 && bytes.length - at >= headLength) {
          this.#begin(bytes, at)
          at += headLength
        } else {
          const n = Math.min(headLength - this.#headHeld, bytes.length - at)
          bytes.copy(this.#head, this.#headHeld, at, at + n)
          this.#headHeld += n
          at += n
          if (this.#headHeld < headLength) return
          this.#headHeld = 0
          this.#begin(this.#head, 0)
        }
        if (this.#rest === 0) this.#end(nothing)
        continue
      }
      const n = Math.min(this.#rest, bytes.length - at)
      if (this.#kind === type.data) this.#data(bytes, at, at + n)
      else this.#other(bytes, at, at + n)
      at += n
    }
  }

  #begin(head: Buffer, at: number): void {
    const length = (head[at]! << 16) | (head[at + 1]! << 8) | head[at + 2]!
    this.#kind = head[at + 3]!
    this.#flags = head[at + 4]!
    this.#id = ((head[at + 5]! & 0x7f) << 24) | (head[at + 6]! << 16) | (head[at + 7]! << 8) | head[at + 8]!
    if (length > this.#maxFrame) throw new H2Error(code.frameSize, `a frame of ${length} octets, ${this.#maxFrame} are allowed`)
    this.#rest = length
    if (this.#kind !== type.data) return
    this.#padding = this.#flags & flag.padded ? undefined : 0
    if (this.#padding === undefined && length === 0) throw new H2Error(code.frameSize, 'padded DATA without its length of padding')
    this.#handler.dataBegins(this.#id, length)
  }

  #data(bytes: Buffer, from: number, to: number): void {
    let start = from
    if (this.#padding === undefined) {
      this.#padding = bytes[start++]!
      this.#rest!--
      if (this.#padding > this.#rest!) throw new H2Error(code.protocol, 'DATA is padded beyond its end')
    }
    const end = Math.min(to, start + Math.max(0, this.#rest! - this.#padding))
    this.#rest! -= to - start
    if (end > start) this.#handler.data(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end))
    if (this.#rest === 0) this.#end(nothing)
  }

  #other(bytes: Buffer, from: number, to: number): void {
    const whole = this.#payload === undefined && to - from === this.#rest
    this.#rest! -= to - from
    if (whole) return void this.#end(bytes.subarray(from, to))
    if (isKnown(this.#kind)) {
      this.#payload ??= Buffer.allocUnsafe(to - from + this.#rest!)
      bytes.copy(this.#payload, this.#payloadHeld, from, to)
      this.#payloadHeld += to - from
    }
    if (this.#rest === 0) this.#end(this.#payload ?? nothing)
  }

  #end(payload: Buffer): void {
    this.#rest = undefined
    this.#payload = undefined
    this.#payloadHeld = 0
    if (this.#kind === type.data) this.#handler.dataEnds((this.#flags & flag.endStream) !== 0)
    else if (isKnown(this.#kind)) this.#handler.frame(this.#kind, this.#flags, this.#id, payload)
  }
}
