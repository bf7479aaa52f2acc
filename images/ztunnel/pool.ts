import type { HboneClient } from '../lib/hbone.ts'

export interface PoolOptions {
  readonly maxStreams: number
  /** Milliseconds without a tunnel after which a connection is closed. */
  readonly unusedRelease: number
}

/** So many connections that die before they can be used are enough. */
const maxDead = 5

interface Entry {
  readonly clients: Set<HboneClient>
  opening: Promise<HboneClient> | undefined
}

/**
 * HBONE connections of one pod, by key (source identity, destination identities, source address, destination address). At most one connection of a key is
 * being opened at a time; whoever needs it meanwhile waits for it, and fails with it.
 */
export class Pool {
  readonly #entries = new Map<string, Entry>()
  readonly #options: PoolOptions
  #closed = false

  constructor(options: PoolOptions) {
    this.#options = options
  }

  /**
   * Runs `use` with a connection that has room for a tunnel. `use` opens its tunnel before it first waits, so that the room is not given away twice.
   * @param open makes a connection when none has room
   */
  async use<T>(key: string, open: () => Promise<HboneClient>, use: (client: HboneClient) => Promise<T>): Promise<T> {
    for (let dead = 0; dead < maxDead; ) {
      if (this.#closed) throw new Error('connection failed: the proxy is shutting down')
      const entry = this.#entry(key)
      for (const client of entry.clients) if (this.#hasRoom(client)) return use(client)
      entry.opening ??= this.#open(key, entry, open)
      const opened = await entry.opening
      if (!opened.usable) dead++
    }
    throw new Error('connection failed: the server closes every connection at once')
  }

  async #open(key: string, entry: Entry, open: () => Promise<HboneClient>): Promise<HboneClient> {
    try {
      const client = await open()
      if (this.#closed) {
        client.destroy()
        return client
      }
      entry.clients.add(client)
      let timer: NodeJS.Timeout | undefined
      client.onChange = () => {
        clearTimeout(timer)
        if (!client.usable) entry.clients.delete(client)
        else if (client.streams === 0) timer = setTimeout(() => client.streams === 0 && client.close(), this.#options.unusedRelease).unref()
        this.#forget(key, entry)
      }
      return client
    } finally {
      entry.opening = undefined
      this.#forget(key, entry)
    }
  }

  #hasRoom(client: HboneClient): boolean {
    return client.usable && client.streams < Math.min(this.#options.maxStreams, client.maxStreams)
  }

  #entry(key: string): Entry {
    let entry = this.#entries.get(key)
    if (!entry) {
      entry = { clients: new Set(), opening: undefined }
      this.#entries.set(key, entry)
    }
    return entry
  }

  #forget(key: string, entry: Entry): void {
    if (entry.clients.size === 0 && !entry.opening && this.#entries.get(key) === entry) this.#entries.delete(key)
  }

  /** Connections open now, for tests and metrics. */
  get size(): number {
    let n = 0
    for (const entry of this.#entries.values()) n += entry.clients.size
    return n
  }

  /** Tunnels may end; no new ones. */
  close(): void {
    this.#closed = true
    for (const entry of this.#entries.values()) for (const client of [...entry.clients]) client.close()
  }

  destroy(): void {
    this.#closed = true
    for (const entry of this.#entries.values()) for (const client of [...entry.clients]) client.destroy()
  }
}
