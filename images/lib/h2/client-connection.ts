import type { Socket } from 'node:net'
import { Connection } from './connection.ts'
import { code, H2Error, maxWindow } from './frame.ts'
import type { Field } from './hpack-decoder.ts'
import { encodeHeaders } from './hpack-encoder.ts'
import { type Headers, responseHeaders } from './message.ts'
import { type ConnectionOptions, settingId } from './settings.ts'
import { Tunnel } from './tunnel.ts'

/** How an HTTP/2 client's connection tells of itself. */
export interface ClientEvents {
  /** No new tunnels. */
  onRetired(): void
  onClose(): void
}

/** What is known of a tunnel that was asked for. */
interface Asked {
  readonly tunnel: Tunnel
  readonly onAnswer: (headers: Headers) => void
}

/** The client's end. */
export class ClientConnection extends Connection {
  readonly #events: ClientEvents
  readonly #asked = new Map<number, Asked>()
  #nextId = 1
  #retired = false
  /** Why it is gone, if not by an orderly end. */
  error: Error | undefined

  constructor(socket: Socket, options: ConnectionOptions, events: ClientEvents) {
    super(socket, options, 'client', [[settingId.enablePush, 0]])
    this.#events = events
  }

  /** False for good after GOAWAY, an error or the end. */
  get usable(): boolean {
    return !this.#retired && !this.ending
  }

  /**
   * Asks for a tunnel. Its `onClosed` tells that there was no answer, if that comes first.
   * @param onAnswer gets the response's fields, whatever its status
   */
  open(fields: Iterable<Field>, onAnswer: (headers: Headers) => void): Tunnel {
    const id = this.#nextId
    this.#nextId += 2
    if (this.#nextId > maxWindow) this.#retire()
    const tunnel = new Tunnel(this, id, this.peer.windowSize, this.options.windowSize)
    this.tunnels.set(id, tunnel)
    this.#asked.set(id, { tunnel, onAnswer })
    this.output.headers(id, encodeHeaders(fields, this.takeShrunk()), false)
    return tunnel
  }

  override forget(tunnel: Tunnel): void {
    this.#asked.delete(tunnel.id)
    super.forget(tunnel)
  }

  /** No new tunnels; the connection ends with the last. */
  close(): void {
    if (this.ending) return
    this.goaway()
    this.#retire()
    this.endWhenIdle()
  }

  protected override onHeaders(id: number, fields: readonly Field[] | undefined, endStream: boolean): void {
    const tunnel = this.tunnels.get(id)
    if (!tunnel) {
      if (this.isIdle(id)) throw new H2Error(code.protocol, `HEADERS on stream ${id}, which is not open`)
      return
    }
    const asked = this.#asked.get(id)
    if (!asked) return void this.trailers(tunnel, fields, endStream)
    const headers = fields && responseHeaders(fields)
    const informational = headers?.[':status']?.startsWith('1') ?? false
    if (!headers || (informational && endStream)) return void tunnel.reset(code.protocol)
    if (informational) return
    this.#asked.delete(id)
    asked.onAnswer(headers)
    if (endStream) tunnel.peerEnd()
  }

  protected override isIdle(id: number): boolean {
    return id % 2 === 0 || id >= this.#nextId
  }

  protected override onGoaway(lastId: number): void {
    this.#retire()
    for (const tunnel of [...this.tunnels.values()]) if (tunnel.id > lastId) tunnel.peerReset(code.refused)
    this.endWhenIdle()
  }

  protected override onLost(error: Error | undefined): void {
    this.error = error
    this.#retire()
  }

  protected override onClose(): void {
    this.#events.onClose()
  }

  /** We look at no stream of a server. */
  protected override get lastId(): number {
    return 0
  }

  #retire(): void {
    if (this.#retired) return
    this.#retired = true
    this.#events.onRetired()
  }
}
