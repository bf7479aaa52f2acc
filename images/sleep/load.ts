import { randomBytes } from 'node:crypto'
import { doRequest } from '../lib/app-client.ts'
import type { ClientResult } from '../lib/app-protocol.ts'
import type { Tell } from '../lib/line-server.ts'
import type { LoadAnswer, LoadCommand, LoadEnd, LoadReply, StopCommand } from '../lib/load-protocol.ts'
import { type Exchange, KeptConnection } from './kept-connection.ts'

/** The loads that are under way, by id. */
export class Loads {
  readonly #running = new Map<string, Load>()

  /** Makes a load to its end. Each request's line is told when it has ended; the promise is the last line. Ends early when nobody reads any more. */
  async start(command: LoadCommand, tell: Tell): Promise<LoadEnd | LoadReply> {
    if (this.#running.has(command.id)) return { id: command.id, ok: false, error: `there is a load ${command.id} already` }
    const load = new Load(command, tell)
    this.#running.set(command.id, load)
    try {
      return await load.run()
    } finally {
      this.#running.delete(command.id)
    }
  }

  /** Tells a load that it may end; it does when its least number of requests is made and all have ended. */
  stop({ id, stop }: StopCommand): LoadReply {
    const load = this.#running.get(stop)
    load?.stop()
    return load ? { id, ok: true } : { id, ok: false, error: `there is no load ${stop}` }
  }
}

const now = () => performance.timeOrigin + performance.now()

class Load {
  readonly #command: LoadCommand
  readonly #tell: Tell
  readonly #kept: readonly KeptConnection[]
  readonly #free: number[]
  #seq = 0
  #open = 0
  #stopping = false
  #gone = false
  #wake = () => {}

  constructor(command: LoadCommand, tell: Tell) {
    const { connections, host, port } = command.load
    this.#command = command
    this.#tell = tell
    this.#kept = connections === 'new' ? [] : Array.from({ length: connections }, () => new KeptConnection(host, port))
    this.#free = this.#kept.map((_, i) => i)
  }

  stop(): void {
    this.#stopping = true
    this.#wake()
  }

  async run(): Promise<LoadEnd> {
    const { id, load } = this.#command
    const startedAt = now()
    for (let turn = 1; !this.#over; turn++) {
      this.#begin()
      if (load.everyMs > 0) await this.#until(startedAt + turn * load.everyMs)
      else while (this.#open >= load.atOnce && !this.#over) await this.#change()
    }
    while (this.#open > 0) await this.#change()
    for (const connection of this.#kept) connection.close()
    return { id, load: id, ok: true, sent: this.#seq, startedAt, endedAt: now() }
  }

  get #resting(): boolean {
    return !this.#stopping && this.#seq >= (this.#command.load.restAfter ?? Number.POSITIVE_INFINITY)
  }

  get #over(): boolean {
    const usedUp = this.#kept.length > 0 && this.#free.length === 0 && this.#open === 0
    return this.#gone || usedUp || (this.#stopping && this.#seq >= this.#command.load.least)
  }

  /** Waits for the time of the next request; ends sooner when the load is over. A turn that is late already is made at once: the rate is kept on average. */
  async #until(t: number): Promise<void> {
    while (!this.#over) {
      const left = t - now()
      if (left <= 0) return
      const timer = setTimeout(() => this.#wake(), left)
      await this.#change()
      clearTimeout(timer)
    }
  }

  #change(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wake = resolve
    return promise
  }

  #begin(): void {
    const { load } = this.#command
    // What was to come now is not numbered: requests piling up would take from those under way what these need to end in time, until none does.
    if (this.#open >= load.atOnce || this.#resting) return
    const connection = this.#kept.length > 0 ? this.#free.shift() : undefined
    // All kept connections wait for an answer: there is nothing that it could be sent on.
    if (this.#kept.length > 0 && connection === undefined) return
    const seq = this.#seq++
    const token = `${load.mark}.${String(seq).padStart(6, '0')}.${randomBytes(8).toString('hex')}`
    void this.#request(seq, token, connection)
  }

  async #request(seq: number, token: string, connection: number | undefined): Promise<void> {
    const { id } = this.#command
    const startedAt = now()
    this.#open++
    const { localPort, error } = await this.#exchange(token, connection)
    this.#open--
    if (connection !== undefined && !this.#kept[connection]!.broken) this.#free.push(connection)
    const line: LoadAnswer = {
      load: id,
      seq,
      token,
      ...(connection === undefined ? {} : { connection }),
      ok: error === undefined,
      ...(error === undefined ? {} : { error }),
      ...(localPort === undefined ? {} : { localPort }),
      startedAt,
      endedAt: now(),
    }
    if (!this.#tell(line)) this.#gone = true
    this.#wake()
  }

  async #exchange(token: string, connection: number | undefined): Promise<Exchange> {
    const { host, port, timeoutMs, path = '/anything' } = this.#command.load
    if (connection !== undefined) return this.#kept[connection]!.post(path, token, timeoutMs)
    const result = await doRequest({ id: token, protocol: 'http', host, port, body: token, timeoutMs, path })
    const error = result.ok ? (path === '/anything' && !result.body?.includes(token) ? 'EECHO' : undefined) : codeOf(result.error)
    return { ...(result.localPort === undefined ? {} : { localPort: result.localPort }), ...(error === undefined ? {} : { error }) }
  }
}

/** Node's HTTP client calls it a reset, too, when the other side ended in order without an answer. */
function codeOf(error: ClientResult['error']): string {
  return error?.message === 'socket hang up' ? 'ECLOSED' : (error?.code ?? 'EUNKNOWN')
}
