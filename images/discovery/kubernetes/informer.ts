import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../log.ts'
import { ApiError, type KubeClient, type List } from './client.ts'
import { type KubeObject, keyOf } from './objects.ts'

export interface Handlers<T> {
  /** An object is new or has changed. */
  put(object: T): void
  /** It is gone; the last that is known of it. */
  remove(object: KubeObject): void
}

const pageSize = 500
/** How long a watch lasts, seconds: the server ends it, and it is begun again where it ended. */
const watchSeconds = 290
const firstPauseMs = 50
const longestPauseMs = 10_000

/** Follows all objects of one path: lists them, then watches; begins again whatever breaks, without telling anything twice or missing anything. */
export class Informer<T extends KubeObject> {
  readonly #client: KubeClient
  readonly #path: string
  readonly #query: string
  readonly #on: Handlers<T>
  readonly #log: Log
  /** Key → version of what the handlers were told. */
  readonly #known = new Map<string, { version: string | undefined; object: KubeObject }>()
  readonly #stop = new AbortController()
  readonly #synced = Promise.withResolvers<void>()

  /** @param path such as `/api/v1/pods` @param fieldSelector such as `metadata.name=x` */
  constructor(client: KubeClient, path: string, on: Handlers<T>, log: Log, fieldSelector?: string) {
    this.#client = client
    this.#path = path
    this.#query = fieldSelector ? `&fieldSelector=${encodeURIComponent(fieldSelector)}` : ''
    this.#on = on
    this.#log = log
  }

  /** Resolves when the handlers were told of the whole first list. */
  start(): Promise<void> {
    void this.#follow()
    return this.#synced.promise
  }

  stop(): void {
    this.#stop.abort()
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stop
    let version: string | undefined
    let pause = firstPauseMs
    while (!signal.aborted) {
      try {
        version ??= await this.#list()
        this.#synced.resolve()
        version = await this.#watch(version)
        pause = firstPauseMs
      } catch (error) {
        if (signal.aborted) return
        if (error instanceof ApiError && error.code === 410) {
          version = undefined
          continue
        }
        // A kind that is not installed has no objects, yet.
        if (error instanceof ApiError && error.code === 404) this.#synced.resolve()
        this.#log.warn('a watch broke and is begun again', { path: this.#path, pauseMs: pause, error: (error as Error).message })
        // Half of it by chance: those that broke together do not come together.
        await delay(pause * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {})
        pause = Math.min(pause * 2, longestPauseMs)
      }
    }
  }

  /** @returns the version that the list is of */
  async #list(): Promise<string> {
    const gone = new Map([...this.#known].map(([key, { object }]) => [key, object]))
    let page = ''
    for (;;) {
      const { items, metadata } = await this.#client.json<List<T>>('GET', `${this.#path}?limit=${pageSize}${this.#query}${page}`)
      for (const object of items) {
        gone.delete(keyOf(object))
        this.#put(object)
      }
      if (!metadata.continue) {
        for (const object of gone.values()) this.#remove(object)
        return metadata.resourceVersion
      }
      page = `&continue=${encodeURIComponent(metadata.continue)}`
    }
  }

  /** @returns the version that it came to, when the server ends it in order @throws ApiError 410 when the version is too old */
  async #watch(from: string): Promise<string> {
    let version = from
    const path = `${this.#path}?watch=1&allowWatchBookmarks=true&timeoutSeconds=${watchSeconds}&resourceVersion=${from}${this.#query}`
    for await (const { type, object } of this.#client.watch<T>(path, this.#stop.signal, (watchSeconds + 30) * 1000)) {
      if (type === 'ERROR') {
        const { code = 500, message = 'the watch ended in an error' } = object as unknown as { code?: number; message?: string }
        throw new ApiError(code, message)
      }
      version = object.metadata.resourceVersion ?? version
      if (type === 'DELETED') this.#remove(object)
      else if (type !== 'BOOKMARK') this.#put(object)
    }
    return version
  }

  #put(object: T): void {
    const key = keyOf(object)
    const version = object.metadata.resourceVersion
    const before = this.#known.get(key)
    if (before && before.version === version) return
    // Made anew under the same name between two lists.
    if (before && before.object.metadata.uid !== object.metadata.uid) this.#on.remove(before.object)
    this.#known.set(key, { version, object })
    this.#on.put(object)
  }

  #remove(object: KubeObject): void {
    if (this.#known.delete(keyOf(object))) this.#on.remove(object)
  }
}
