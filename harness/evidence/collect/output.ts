import { Socket } from 'node:net'
import { encodeFrame, type FrameKind, frameKind } from '../frames.ts'
import { nowMicros } from './clock.ts'

/** What waits for a reader that does not read; beyond that packets stay in their rings, where the kernel counts what it must drop. Bytes. */
const highWater = 256 << 20

/** The collector's frames on their way to the harness. */
export interface Output {
  /** Appends bytes to the artefact of this kind. */
  send(kind: FrameKind, payload: Uint8Array | string): void
  /** Appends one JSON line with the time in front. @param t microseconds since 1970; @default now */
  line(kind: FrameKind, value: object, t?: number): void
  /** The reader is far behind. */
  readonly blocked: boolean
}

/** Frames written to a pipe, queued in memory while the reader is busy: a slow reader must not stop the capture. */
export class PipeOutput implements Output {
  readonly #pipe: Socket

  /** @param onGone called when nobody reads any more */
  constructor(fd: number, onGone: () => void) {
    this.#pipe = new Socket({ fd, readable: false, writable: true })
    this.#pipe.on('error', onGone)
  }

  send(kind: FrameKind, payload: Uint8Array | string): void {
    this.#pipe.write(encodeFrame(kind, payload))
  }

  line(kind: FrameKind, value: object, t = nowMicros()): void {
    this.send(kind, `${JSON.stringify({ t, ...value })}\n`)
  }

  reply(value: { id: string; ok: boolean; error?: string; result?: unknown }): void {
    this.send(frameKind.reply, JSON.stringify(value))
  }

  get blocked(): boolean {
    return this.#pipe.writableLength > highWater
  }

  /** Resolves when everything is with the reader. */
  end(): Promise<void> {
    return new Promise((resolve) => this.#pipe.end(() => resolve()))
  }
}
