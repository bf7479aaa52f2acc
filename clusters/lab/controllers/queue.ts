/** Starts one controller. @returns stops it */
export type Controller = (context: ControllerContext) => () => void

export interface ControllerContext {
  readonly store: import('../apiserver/store.ts').Store
  /** Certificate of the API server's CA, for the ConfigMap `kube-root-ca.crt`. */
  readonly caPem: string
  /** Hears of work that failed; it is tried again. */
  readonly onError: (error: Error) => void
}

/** What a timer can hold; a key that comes too early is just looked at once more. */
const maxTimer = 2 ** 31 - 1

/**
 * Work by key: a key that is added several times before its turn is worked on once. Failures are reported and tried again after a pause that doubles.
 * Turns come after the present one of the event loop, so that a burst of changes leads to one run.
 */
export class WorkQueue {
  readonly #sync: (key: string) => void
  readonly #onError: (error: Error) => void
  readonly #waiting = new Set<string>()
  readonly #failures = new Map<string, number>()
  readonly #timers = new Map<string, NodeJS.Timeout>()
  #turn: NodeJS.Immediate | undefined
  #stopped = false

  constructor(sync: (key: string) => void, onError: (error: Error) => void) {
    this.#sync = sync
    this.#onError = onError
  }

  add(key: string): void {
    if (this.#stopped) return
    this.#waiting.add(key)
    this.#turn ??= setImmediate(() => this.#run())
  }

  /** Adds the key in `ms` milliseconds; a later call for it replaces an earlier one. */
  addAfter(key: string, ms: number): void {
    if (this.#stopped) return
    clearTimeout(this.#timers.get(key))
    const timer = setTimeout(
      () => {
        this.#timers.delete(key)
        this.add(key)
      },
      Math.min(ms, maxTimer),
    )
    this.#timers.set(key, timer.unref())
  }

  stop(): void {
    this.#stopped = true
    clearImmediate(this.#turn)
    for (const timer of this.#timers.values()) clearTimeout(timer)
  }

  #run(): void {
    this.#turn = undefined
    const keys = [...this.#waiting]
    this.#waiting.clear()
    for (const key of keys) {
      if (this.#stopped) return
      try {
        this.#sync(key)
        this.#failures.delete(key)
      } catch (error) {
        const failures = (this.#failures.get(key) ?? 0) + 1
        this.#failures.set(key, failures)
        this.#onError(error as Error)
        this.addAfter(key, Math.min(10 * 2 ** failures, 10_000))
      }
    }
  }
}

/** `namespace/name` of an object or the name alone, as key of a queue. */
export const keyOf = ({ metadata: { namespace, name } }: { metadata: { namespace?: string; name: string } }) =>
  namespace ? `${namespace}/${name}` : name

export function refOf(key: string): { name: string; namespace?: string } {
  const cut = key.indexOf('/')
  return cut < 0 ? { name: key } : { namespace: key.slice(0, cut), name: key.slice(cut + 1) }
}

/** Calls all of them. */
export const stopAll = (stops: readonly (() => void)[]) => () => {
  for (const stop of stops) stop()
}
