import type { Socket } from 'node:net'
import { Connection } from './connection.ts'
import { code, H2Error, type } from './frame.ts'
import type { Field } from './hpack-decoder.ts'
import { encodeHeaders } from './hpack-encoder.ts'
import { type Headers, requestHeaders } from './message.ts'
import { type ConnectionOptions, settingId } from './settings.ts'
import { Tunnel } from './tunnel.ts'

/** How an HTTP/2 server's connection tells of itself. */
export interface ServerEvents {
  onRequest(headers: Headers, tunnel: Tunnel): void
  /** Not of an orderly end. */
  onError(error: Error): void
  onClose(): void
}

/** The server's end. */
export class ServerConnection extends Connection {
  readonly #events: ServerEvents
  readonly #maxStreams: number
  #lastId = 0
  #closing = false

  constructor(socket: Socket, options: ConnectionOptions, maxStreams: number, events: ServerEvents) {
    super(socket, options, 'server', [[settingId.maxStreams, maxStreams]])
    this.#maxStreams = maxStreams
    this.#events = events
  }

  /** Answers a request, once. @param endStream the answer is all; what the client still sends is of no use */
  respond(tunnel: Tunnel, fields: Iterable<Field>, endStream: boolean): void {
    if (tunnel.closed) return
    this.output.headers(tunnel.id, encodeHeaders(fields, this.takeShrunk()), endStream)
    if (endStream) tunnel.reset(code.noError)
  }

  /** GOAWAY: later requests are not looked at; the connection ends with the last tunnel. */
  close(): void {
    if (this.ending) return
    this.goaway()
    this.#closing = true
    this.endWhenIdle()
  }

  protected override onHeaders(id: number, fields: readonly Field[] | undefined, endStream: boolean): void {
    if (id % 2 === 0) throw new H2Error(code.protocol, `a request on stream ${id}`)
    const open = this.tunnels.get(id)
    if (open) return void this.trailers(open, fields, endStream)
    // Trailers of a stream that we have given up.
    if (id <= this.#lastId) return
    if (this.#closing || this.tunnels.size >= this.#maxStreams) {
      if (!this.#closing) this.#lastId = id
      return void this.output.number(type.reset, id, code.refused)
    }
    this.#lastId = id
    const tunnel = new Tunnel(this, id, this.peer.windowSize, this.options.windowSize)
    this.tunnels.set(id, tunnel)
    if (!fields) return void this.respond(tunnel, [[':status', '431']], true)
    const headers = requestHeaders(fields)
    if (!headers) return void tunnel.reset(code.protocol)
    if (endStream) tunnel.peerEnd()
    this.#events.onRequest(headers, tunnel)
  }

  protected override isIdle(id: number): boolean {
    return id % 2 === 0 || (id > this.#lastId && !this.#closing)
  }

  protected override onGoaway(): void {
    // Clients open streams; that they open no more is theirs to keep.
  }

  protected override onLost(error: Error | undefined): void {
    if (error) this.#events.onError(error)
  }

  protected override onClose(): void {
    this.#events.onClose()
  }

  protected override get lastId(): number {
    return this.#lastId
  }
}
