/**
 * How a collector's output travels over one byte stream: frames `[u32le payload length][u8 kind][payload]`.
 * A frame is whole artefact bytes (packet blocks, JSON lines), so files written from whole frames never end in the middle of one.
 */
export const frameKind = {
  packets: 1,
  traces: 2,
  conntrack: 3,
  sockets: 4,
  logs: 5,
  stats: 6,
  interfaces: 7,
  markers: 8,
  snapshot: 9,
  reply: 10,
  sightings: 11,
  loads: 12,
} as const
export type FrameKind = (typeof frameKind)[keyof typeof frameKind]

/** Length and kind before the payload, bytes. */
export const frameHeader = 5
/** Longer payloads are a broken stream: a collector writes at most one ring block or one dump a frame. Bytes. */
export const maxPayload = 256 << 20

export interface Frame {
  readonly kind: FrameKind
  /** A view of memory that is the receiver's from now on. */
  readonly payload: Buffer
}

/** The stream is not frames: something else wrote to the collector's stdout, or bytes were lost. */
export class FrameError extends Error {
  override name = 'FrameError'
}

/** One frame as bytes, ready to write. */
export function encodeFrame(kind: FrameKind, payload: Uint8Array | string): Buffer {
  const length = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length
  const frame = Buffer.allocUnsafe(frameHeader + length)
  writeFrameHeader(frame, kind, length)
  if (typeof payload === 'string') frame.write(payload, frameHeader)
  else frame.set(payload, frameHeader)
  return frame
}

/** Writes the five header bytes at the start of `frame`. */
export function writeFrameHeader(frame: Buffer, kind: FrameKind, payloadLength: number): void {
  frame.writeUInt32LE(payloadLength, 0)
  frame[4] = kind
}

/** Cuts a byte stream, arriving in pieces of any size, into frames. */
export class FrameDecoder {
  #pieces: Buffer[] = []
  #have = 0
  #need = frameHeader

  /** Takes the next piece of the stream; returns the frames that it completed. Throws FrameError on what no collector writes. */
  push(piece: Buffer): Frame[] {
    this.#pieces.push(piece)
    this.#have += piece.length
    const frames: Frame[] = []
    while (this.#have >= this.#need) {
      const all = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces)
      const length = all.readUInt32LE(0)
      const kind = all[4]!
      if (kind < 1 || kind > 12 || length > maxPayload)
        throw new FrameError(`not a collector's frame: kind ${kind}, ${length} bytes (does something else print on its stdout?)`)
      this.#need = frameHeader + length
      this.#pieces = [all]
      if (all.length < this.#need) break
      frames.push({ kind: kind as FrameKind, payload: all.subarray(frameHeader, this.#need) })
      this.#pieces = [all.subarray(this.#need)]
      this.#have -= this.#need
      this.#need = frameHeader
    }
    return frames
  }

  /** Bytes of a frame that has not come whole; not zero at the stream's end: it was cut. */
  get pending(): number {
    return this.#have
  }
}
