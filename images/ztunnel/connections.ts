import type { Address } from './address.ts'
import type { Abort } from './relay.ts'

/** One proxied connection while it lives. */
export interface Tracked {
  readonly direction: 'inbound' | 'outbound'
  readonly from: Address
  readonly originalTarget: Address
  readonly actualTarget: Address
  readonly protocol: 'HBONE' | 'TCP'
  /** Undefined: still allowed; otherwise the connection is closed at the next policy change. Only inbound connections have it. */
  readonly recheck?: () => string | undefined
  abort: Abort
}

/** The connections of one proxy: for the config dump, for policy changes and for the end. */
export class Connections {
  readonly #live = new Set<Tracked>()
  readonly #idle = new Set<() => void>()
  #beginning = 0

  get size(): number {
    return this.#live.size
  }

  add(connection: Tracked): { release(): void } {
    this.#live.add(connection)
    return {
      release: () => {
        this.#live.delete(connection)
        this.#checkIdle()
      },
    }
  }

  /** Counts something that is being set up and is no connection yet, until `work` is done: a drain waits for it too. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.#beginning++
    try {
      return await work
    } finally {
      this.#beginning--
      this.#checkIdle()
    }
  }

  #checkIdle(): void {
    if (this.#live.size + this.#beginning === 0) for (const resolve of [...this.#idle]) resolve()
  }

  /** Upstream's form in the config dump (`workloadState.<uid>.connections`). */
  dump(direction: Tracked['direction']): unknown[] {
    return [...this.#live]
      .filter((c) => c.direction === direction)
      .map((c) => ({
        src: text(c.from),
        originalDst: text(c.originalTarget),
        actualDst: text(c.actualTarget),
        protocol: c.protocol,
      }))
  }

  /** Closes what the policies of now would not admit. */
  recheck(): void {
    for (const connection of [...this.#live]) {
      if (connection.recheck?.() !== undefined) connection.abort('connection closed due to policy change')
    }
  }

  abortAll(reason: string): void {
    for (const connection of [...this.#live]) connection.abort(reason)
  }

  /** Resolves when there is none left. */
  async idle(): Promise<void> {
    if (this.#live.size + this.#beginning === 0) return
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#idle.delete(done)
        resolve()
      }
      this.#idle.add(done)
    })
  }
}

const text = ({ address, port }: Address) => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`)
