import { code, flag, H2Error } from './frame.ts'

/** Frames of one block, so that one that never ends is noticed although its pieces are empty. */
const maxFrames = 64

/** Puts a header block together from HEADERS and its CONTINUATIONs (RFC 9113, sections 6.2 and 6.10). */
export class HeaderBlock {
  readonly #limit: number
  #parts: Buffer[] = []
  #length = 0
  #id = 0
  #endStream = false

  /** @param limit octets of a whole block */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Between the first frame of a block and its last nothing else may come. */
  get open(): boolean {
    return this.#parts.length > 0
  }

  /** @returns the block if it is whole @throws H2Error */
  headers(flags: number, id: number, payload: Buffer): Whole | undefined {
    let start = 0
    let end = payload.length
    if (flags & flag.padded) end -= payload[start++] ?? Number.POSITIVE_INFINITY
    if (flags & flag.priority) start += 5
    if (end < start) throw new H2Error(code.protocol, 'HEADERS are padded beyond their end')
    this.#id = id
    this.#endStream = (flags & flag.endStream) !== 0
    return this.#add(flags, payload.subarray(start, end))
  }

  /** @returns the block if it is whole @throws H2Error */
  continuation(flags: number, id: number, payload: Buffer): Whole | undefined {
    if (!this.open || id !== this.#id) throw new H2Error(code.protocol, 'CONTINUATION without HEADERS')
    return this.#add(flags, payload)
  }

  #add(flags: number, part: Buffer): Whole | undefined {
    this.#length += part.length
    if (this.#length > this.#limit || this.#parts.length >= maxFrames)
      throw new H2Error(code.enhanceYourCalm, `a header block of more than ${this.#limit} octets or ${maxFrames} frames`)
    if (!(flags & flag.endHeaders)) {
      this.#parts.push(Buffer.from(part))
      return undefined
    }
    const block = this.#parts.length === 0 ? part : Buffer.concat([...this.#parts, part])
    this.#parts = []
    this.#length = 0
    return { id: this.#id, endStream: this.#endStream, block }
  }
}

/** Valid during the call that it came of. */
interface Whole {
  readonly id: number
  readonly endStream: boolean
  readonly block: Buffer
}
