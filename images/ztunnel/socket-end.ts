import type { Socket } from 'node:net'
import type { End, Sink } from '../lib/h2/tunnel.ts'
import { c, MSG_DONTWAIT, MSG_NOSIGNAL } from '../lib/libc.ts'
import { readShared } from '../lib/shared-read.ts'
import { giveBuffer, takeBuffer } from '../lib/spare-buffers.ts'

/** How long a side that is given up may take to send what it has, milliseconds. */
const lingering = 5_000
/** So many bytes may wait for a peer that takes them slowly before it asks to hold back, and so few before it asks to go on. */
const high = 1 << 20
const low = 256 << 10
/** Chunks up to this many bytes go at once; larger ones are gathered until the turn of the event loop ends, since one large write costs less than many small. */
const small = 4 << 10

/** A TCP connection as an end of a relay. */
export class SocketEnd implements End {
  readonly socket: Socket
  #sink: Sink | undefined
  #ended = false
  #gathered: Buffer | undefined
  #length = 0
  #holding = false
  /** Asked for once: it crosses into C++. */
  #fd = -1

  constructor(socket: Socket) {
    this.socket = socket
  }

  open(sink: Sink): void {
    const { socket } = this
    this.#sink = sink
    const fail = (reason: string) => this.#sink?.failed(reason)
    socket.on('error', (error) => fail(`io error: ${error.message}`))
    socket.once('end', () => {
      this.#ended = true
      this.#sink?.end()
    })
    socket.once('finish', () => this.#sink?.finished())
    socket.once('close', () => {
      if (!this.#ended) fail('io error: connection closed early')
      else if (!socket.writableFinished) fail('io error: closed by the peer before all was written')
    })
    if (socket.destroyed) fail('io error: connection closed early')
    else readShared(socket, (bytes) => this.#sink?.data(bytes))
  }

  write(bytes: Buffer): boolean {
    if (!this.socket.writable) return true
    if (this.#length === 0 && bytes.length <= small) {
      if (!this.#sendAll(bytes, 0, bytes.length)) return this.#roomLeft()
      return true
    }
    for (let at = 0; at < bytes.length; ) {
      if (!this.#gathered) {
        this.#gathered = takeBuffer()
        setImmediate(this.#flush)
      }
      const n = Math.min(bytes.length - at, this.#gathered.length - this.#length)
      bytes.copy(this.#gathered, this.#length, at, at + n)
      this.#length += n
      at += n
      if (this.#length === this.#gathered.length) this.#flush()
    }
    return this.#roomLeft()
  }

  #roomLeft(): boolean {
    this.#holding = this.socket.writableLength >= high
    return !this.#holding
  }

  readonly #flush = () => {
    const gathered = this.#gathered
    if (!gathered) return
    const length = this.#length
    this.#gathered = undefined
    this.#length = 0
    const sent = this.#sendNow(gathered, length)
    if (sent === length || !this.socket.writable) return giveBuffer(gathered)
    this.socket.write(gathered.subarray(sent, length), () => {
      giveBuffer(gathered)
      this.#written()
    })
  }

  /** @returns whether all has left */
  #sendAll(bytes: Buffer, from: number, to: number): boolean {
    const sent = from + this.#sendNow(bytes, to)
    if (sent === to) return true
    this.socket.write(Buffer.from(bytes.subarray(sent, to)), this.#written)
    return false
  }

  /** As much as the kernel takes at once, unless something else comes first. What is wrong with the connection shows in the next ordinary write. */
  #sendNow(bytes: Buffer, length: number): number {
    const handle = (this.socket as unknown as { _handle?: { fd: number } | null })._handle
    // Without a handle the number may be another file's by now.
    if (!handle || this.socket.writableLength > 0) return 0
    if (this.#fd < 0) this.#fd = handle.fd
    return Math.max(0, c.send(this.#fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) as number)
  }

  readonly #written = () => {
    if (!this.#holding || this.socket.writableLength > low) return
    this.#holding = false
    this.#sink?.drained()
  }

  end(): void {
    this.#flush()
    this.socket.end()
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  giveUp(): void {
    this.#sink = undefined
    const { socket } = this
    if (socket.destroyed) return
    this.#flush()
    socket.resume()
    socket.destroySoon()
    const timer = setTimeout(() => socket.destroy(), lingering).unref()
    socket.once('close', () => clearTimeout(timer))
  }
}
