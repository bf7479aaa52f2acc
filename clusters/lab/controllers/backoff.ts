/** Pauses that double while something keeps failing: the first failure is dealt with at once. Forgets what has not failed for twice the longest pause. */
export class Backoff {
  readonly #entries = new Map<string, { pause: number; until: number }>()
  readonly #first: number
  readonly #longest: number
  readonly #now: () => number

  /** Times in milliseconds. */
  constructor(first: number, longest: number, now: () => number = Date.now) {
    this.#first = first
    this.#longest = longest
    this.#now = now
  }

  /** Says that `key` has failed. @returns 0: go on now; else milliseconds until it may be tried */
  failed(key: string): number {
    const now = this.#now()
    for (const [other, { until }] of this.#entries) if (until + 2 * this.#longest < now) this.#entries.delete(other)
    const entry = this.#entries.get(key)
    if (entry && entry.until > now) return entry.until - now
    const pause = entry ? Math.min(entry.pause * 2, this.#longest) : this.#first
    this.#entries.set(key, { pause, until: now + pause })
    return 0
  }
}
