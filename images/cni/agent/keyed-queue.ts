/** Runs work for different keys side by side, and for one key one after the other. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<unknown>>()

  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve()
    const result = before.then(work)
    const tail = result.catch(() => {})
    this.#tails.set(key, tail)
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    })
    return result
  }
}

const firstRetry = 5
const longestRetry = 5000

/**
 * Calls `work` for each key that was put in, at least once after the last time; what fails is tried again
 * after 5 ms, doubling up to 5 s, without end (upstream's informer queue).
 */
export class RetryQueue {
  readonly #work: (key: string) => Promise<void>
  readonly #onError: (key: string, error: Error, retryMs: number) => void
  readonly #keys = new Map<string, { failures: number; timer?: NodeJS.Timeout; running: boolean; again: boolean }>()
  readonly #running = new Set<Promise<void>>()
  #closed = false

  constructor(work: (key: string) => Promise<void>, onError: (key: string, error: Error, retryMs: number) => void) {
    this.#work = work
    this.#onError = onError
  }

  add(key: string): void {
    if (this.#closed) return
    const state = this.#keys.get(key) ?? { failures: 0, running: false, again: false }
    this.#keys.set(key, state)
    if (state.running) {
      state.again = true
      return
    }
    clearTimeout(state.timer)
    state.running = true
    const run = this.#run(key, state).finally(() => this.#running.delete(run))
    this.#running.add(run)
  }

  async #run(key: string, state: { failures: number; timer?: NodeJS.Timeout; running: boolean; again: boolean }): Promise<void> {
    do {
      state.again = false
      try {
        await this.#work(key)
        state.failures = 0
      } catch (error) {
        const wait = Math.min(firstRetry * 2 ** state.failures++, longestRetry)
        this.#onError(key, error as Error, wait)
        if (!state.again && !this.#closed) state.timer = setTimeout(() => this.add(key), wait)
      }
    } while (state.again && !this.#closed)
    state.running = false
    if (state.failures === 0) this.#keys.delete(key)
  }

  /** No more work is begun. Resolves when what runs has ended. */
  async close(): Promise<void> {
    this.#closed = true
    for (const state of this.#keys.values()) clearTimeout(state.timer)
    await Promise.all(this.#running)
  }
}
