import { code, H2Error, preface } from './frame.ts'

/** Takes the preface from the beginning of what a client sends, in whatever pieces it comes. */
export class PrefaceReader {
  #seen = 0

  /** @returns what follows the preface in `bytes` @throws H2Error for anything else than a preface */
  skip(bytes: Buffer): Buffer {
    if (this.#seen === preface.length) return bytes
    const n = Math.min(preface.length - this.#seen, bytes.length)
    if (preface.compare(bytes, 0, n, this.#seen, this.#seen + n) !== 0)
      throw new H2Error(code.protocol, 'the client does not begin as HTTP/2 does')
    this.#seen += n
    return bytes.subarray(n)
  }
}
