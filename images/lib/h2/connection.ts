import type { Socket } from 'node:net'
import { readShared } from '../shared-read.ts'
import { checkForm, code, defaultWindow, flag, H2Error, maxWindow, preface, type } from './frame.ts'
import { type FrameHandler, FrameReader } from './frame-reader.ts'
import { HeaderBlock } from './header-block.ts'
import { type Field, HpackDecoder } from './hpack-decoder.ts'
import { HpackError } from './huffman.ts'
import { wellFormedTrailers } from './message.ts'
import { type Outlet, Output } from './output.ts'
import { PrefaceReader } from './preface-reader.ts'
import { RateLimit } from './rate-limit.ts'
import { ReceiveWindow } from './receive-window.ts'
import { applySettings, type ConnectionOptions, encodeSettings, initialSettings, type Settings, settingId } from './settings.ts'
import type { Tunnel } from './tunnel.ts'

/** How long a peer may take to read our last words and to end its side, milliseconds. */
const lingering = 1_000

/** What both ends of an HTTP/2 connection do alike (RFC 9113), over a socket whose handshakes are done. It belongs to the connection from now on. */
export abstract class Connection implements FrameHandler, Outlet {
  readonly output: Output = new Output(this)
  readonly tunnels = new Map<number, Tunnel>()
  /** Those that wait for windows or room. */
  readonly blocked = new Set<Tunnel>()
  sendWindow = defaultWindow
  peer: Settings = initialSettings
  protected readonly options: ConnectionOptions
  readonly #socket: Socket
  readonly #reader: FrameReader
  readonly #decoder: HpackDecoder
  readonly #block: HeaderBlock
  /** Resets and frames that do nothing, as a patient peer would never send so many of. */
  readonly #nuisance = new RateLimit(1_000, 33)
  readonly #received: ReceiveWindow
  /** Of the DATA frame that began last. */
  #current: Tunnel | undefined
  #currentLength = 0
  #settled = false
  /** Of a client. */
  readonly #preface: PrefaceReader | undefined
  readonly #isServer: boolean
  #shrunk = false
  #pong: (() => void) | undefined
  #ending = false
  #over = false

  constructor(socket: Socket, options: ConnectionOptions, role: 'client' | 'server', settings: readonly (readonly [number, number])[]) {
    this.#socket = socket
    this.options = options
    this.#isServer = role === 'server'
    this.#preface = this.#isServer ? new PrefaceReader() : undefined
    this.#reader = new FrameReader(this, options.frameSize)
    this.#decoder = new HpackDecoder(options.maxHeaderList)
    this.#block = new HeaderBlock(options.maxHeaderList)
    this.#received = new ReceiveWindow(options.connectionWindowSize, (octets) => this.output.number(type.windowUpdate, 0, octets))
    if (!this.#isServer) this.output.raw(preface)
    const shared = [
      [settingId.windowSize, options.windowSize],
      [settingId.frameSize, options.frameSize],
      [settingId.maxHeaderList, options.maxHeaderList],
    ] as const
    this.output.frame(type.settings, 0, 0, encodeSettings([...shared, ...settings]))
    if (options.connectionWindowSize > defaultWindow) this.output.number(type.windowUpdate, 0, options.connectionWindowSize - defaultWindow)
    socket.on('error', (error) => this.#lost(error))
    socket.once('end', () => this.#lost(undefined))
    socket.once('close', () => {
      this.#lost(undefined)
      this.onClose()
    })
    // Not before whoever makes it has it in hand.
    process.nextTick(() => !this.#over && readShared(socket, (bytes) => this.#take(bytes)))
  }

  /** A message of a stream. `fields` undefined: larger than allowed. */
  protected abstract onHeaders(id: number, fields: readonly Field[] | undefined, endStream: boolean): void
  /** Whether neither side has used this stream yet. */
  protected abstract isIdle(id: number): boolean
  protected abstract onGoaway(lastId: number): void
  /** No more tunnels. `error`: not by an orderly end. */
  protected abstract onLost(error: Error | undefined): void
  protected abstract onClose(): void
  /** The last stream of the peer that was looked at. */
  protected abstract get lastId(): number

  get bytesRead(): number {
    return this.#socket.bytesRead
  }

  /** Whether nothing may be begun any more. */
  get ending(): boolean {
    return this.#ending || this.#over
  }

  get over(): boolean {
    return this.#over
  }

  /** An H2Error ends the connection with its code. */
  fail(error: Error): void {
    if (this.#over) return
    const why = error instanceof H2Error ? error.code : error instanceof HpackError ? code.compression : code.internal
    this.goaway(why)
    this.#lost(error)
  }

  protected goaway(why: number = code.noError): void {
    const payload = Buffer.alloc(8)
    payload.writeUInt32BE(this.lastId, 0)
    payload.writeUInt32BE(why, 4)
    this.output.frame(type.goaway, 0, 0, payload)
  }

  /** The connection ends with the last tunnel. */
  protected endWhenIdle(): void {
    this.#ending = true
    if (this.tunnels.size === 0) this.#leave()
  }

  destroy(): void {
    this.#lost(undefined)
    this.#socket.destroy()
  }

  ping(pong: () => void): void {
    this.#pong = pong
    this.output.frame(type.ping, 0, 0, Buffer.alloc(8))
  }

  /** Whether the next header block must say that our table is empty. */
  protected takeShrunk(): boolean {
    const shrunk = this.#shrunk
    this.#shrunk = false
    return shrunk
  }

  /** A second header block ends its stream. */
  protected trailers(tunnel: Tunnel, fields: readonly Field[] | undefined, endStream: boolean): void {
    if (endStream && fields && wellFormedTrailers(fields)) tunnel.peerEnd()
    else tunnel.reset(code.protocol)
  }

  forget(tunnel: Tunnel): void {
    this.tunnels.delete(tunnel.id)
    this.blocked.delete(tunnel)
    if (this.#ending && this.tunnels.size === 0) this.#leave()
  }

  /** A tunnel has dealt with so much of what came. */
  consumed(octets: number): void {
    if (!this.#over) this.#received.consumed(octets)
  }

  write(bytes: Buffer, done: () => void): void {
    if (this.#socket.writable) this.#socket.write(bytes, done)
  }

  onRoom(): void {
    if (this.#over) {
      if (this.output.empty) this.#socket.destroySoon()
      return
    }
    if (this.blocked.size === 0) return
    for (const tunnel of [...this.blocked]) {
      if (this.output.room <= 0 || this.sendWindow <= 0) return
      // At the end of the queue again: the others come first now.
      this.blocked.delete(tunnel)
      if (!tunnel.drain()) this.blocked.add(tunnel)
    }
  }

  onOverflow(): void {
    this.#lost(new H2Error(code.enhanceYourCalm, 'the peer asks for answers that it does not read'))
    this.#socket.destroy()
  }

  #take(bytes: Buffer): void {
    if (this.#over) return
    try {
      this.#reader.read(this.#preface?.skip(bytes) ?? bytes)
    } catch (error) {
      this.fail(error as Error)
    }
  }

  dataBegins(id: number, length: number): void {
    this.#expected(type.data)
    if (!this.#received.take(length)) throw new H2Error(code.flowControl, "more DATA than the connection's window")
    const tunnel = this.tunnels.get(id)
    if (!tunnel && this.isIdle(id)) throw new H2Error(code.protocol, `DATA on stream ${id}, which is not open`)
    if (tunnel?.peerEnded) throw new H2Error(code.streamClosed, 'DATA on a stream that has ended')
    if (tunnel && !tunnel.expect(length)) throw new H2Error(code.flowControl, "more DATA than the stream's window")
    // Of a tunnel that we have given up: of no use to anybody.
    if (!tunnel) this.consumed(length)
    this.#current = tunnel
    this.#currentLength = length
  }

  data(bytes: Buffer): void {
    this.#current?.deliver(bytes)
  }

  dataEnds(endStream: boolean): void {
    if (this.#currentLength === 0 && !endStream) this.#nuisance.take()
    this.#current?.delivered()
    if (endStream) this.#current?.peerEnd()
  }

  frame(kind: number, flags: number, id: number, payload: Buffer): void {
    this.#expected(kind)
    checkForm(kind, id, payload.length)
    switch (kind) {
      case type.headers:
        return void this.#headers(this.#block.headers(flags, id, payload))
      case type.continuation:
        return void this.#headers(this.#block.continuation(flags, id, payload))
      case type.settings:
        return void this.#settings(flags, payload)
      case type.windowUpdate:
        return void this.#windowUpdate(id, payload.readUInt32BE(0) & maxWindow)
      case type.reset:
        return void this.#reset(id, payload.readUInt32BE(0))
      case type.ping:
        if (!(flags & flag.ack)) return void this.output.frame(type.ping, flag.ack, 0, payload)
        this.#pong?.()
        this.#pong = undefined
        return
      case type.goaway:
        return void this.onGoaway(payload.readUInt32BE(0) & maxWindow)
      case type.push:
        throw new H2Error(code.protocol, 'PUSH_PROMISE')
    }
  }

  #expected(kind: number): void {
    if (!this.#settled && kind !== type.settings) throw new H2Error(code.protocol, 'the first frame is not SETTINGS')
    if (this.#block.open && kind !== type.continuation) throw new H2Error(code.protocol, 'a header block is interrupted')
  }

  #headers(whole: { id: number; endStream: boolean; block: Buffer } | undefined): void {
    if (whole) this.onHeaders(whole.id, this.#decoder.decode(whole.block), whole.endStream)
  }

  #settings(flags: number, payload: Buffer): void {
    if (flags & flag.ack) {
      if (payload.length > 0) throw new H2Error(code.frameSize, 'SETTINGS acknowledged with a payload')
      return
    }
    const before = this.peer
    this.peer = applySettings(before, payload)
    this.#settled = true
    if (this.peer.headerTableSize < before.headerTableSize) this.#shrunk = true
    for (const tunnel of this.tunnels.values()) {
      tunnel.sendWindow += this.peer.windowSize - before.windowSize
      if (tunnel.sendWindow > maxWindow) throw new H2Error(code.flowControl, 'SETTINGS make a window too large')
    }
    this.output.frame(type.settings, flag.ack, 0, Buffer.alloc(0))
    this.onRoom()
  }

  #windowUpdate(id: number, octets: number): void {
    if (id === 0) {
      this.sendWindow += octets
      if (octets === 0 || this.sendWindow > maxWindow) throw new H2Error(code.flowControl, `a window is to grow by ${octets}`)
      return void this.onRoom()
    }
    const tunnel = this.tunnels.get(id)
    if (!tunnel) {
      if (this.isIdle(id)) throw new H2Error(code.protocol, `WINDOW_UPDATE on stream ${id}, which is not open`)
      return
    }
    tunnel.sendWindow += octets
    if (octets === 0 || tunnel.sendWindow > maxWindow) return void tunnel.reset(octets === 0 ? code.protocol : code.flowControl)
    if (this.blocked.delete(tunnel) && !tunnel.drain()) this.blocked.add(tunnel)
  }

  #reset(id: number, why: number): void {
    if (this.isIdle(id)) throw new H2Error(code.protocol, `RST_STREAM on stream ${id}, which is not open`)
    if (this.#isServer) this.#nuisance.take()
    this.tunnels.get(id)?.peerReset(why)
  }

  /** All was said that there was to say. */
  #leave(): void {
    if (this.#over) return
    this.#over = true
    this.output.flush()
    if (this.output.empty) this.#socket.destroySoon()
    setTimeout(() => this.#socket.destroy(), lingering).unref()
  }

  #lost(error: Error | undefined): void {
    if (this.#over) return
    this.#leave()
    for (const tunnel of [...this.tunnels.values()]) tunnel.lost()
    this.onLost(error)
  }
}
