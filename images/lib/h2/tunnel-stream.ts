import { Duplex } from 'node:stream'
import { code } from './frame.ts'
import type { Tunnel } from './tunnel.ts'

/** A tunnel as a stream, for whoever is not in a hurry. Destroyed before its ends it resets the tunnel. */
export class TunnelStream extends Duplex {
  readonly #tunnel: Tunnel
  #writable: (() => void) | undefined

  constructor(tunnel: Tunnel) {
    super({ allowHalfOpen: true })
    this.#tunnel = tunnel
    tunnel.open({
      data: (bytes) => {
        if (!this.push(Buffer.from(bytes))) tunnel.pause()
      },
      end: () => void this.push(null),
      drained: () => {
        const writable = this.#writable
        this.#writable = undefined
        writable?.()
      },
      finished: () => {},
      failed: (reason) => void this.destroy(new Error(reason)),
    })
  }

  /** Of RST_STREAM, 0 if there was none. */
  get rstCode(): number {
    return this.#tunnel.resetCode ?? 0
  }

  override _read(): void {
    this.#tunnel.resume()
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#tunnel.write(bytes)) done()
    else this.#writable = done
  }

  override _final(done: () => void): void {
    this.#tunnel.end()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#tunnel.reset(code.cancel)
    done(error)
  }
}
