/**
 * Calls `work` when calls have ceased for `after` milliseconds, and at the latest `max` milliseconds after the first of them. A call is never lost:
 * each is followed by a run of `work` that begins after it.
 */
export class Debounce {
  readonly #work: () => void
  readonly #after: number
  readonly #max: number
  #timer: NodeJS.Timeout | undefined
  #first = 0

  constructor(work: () => void, after: number, max: number) {
    this.#work = work
    this.#after = after
    this.#max = max
  }

  call(): void {
    const now = performance.now()
    if (this.#timer) clearTimeout(this.#timer)
    else this.#first = now
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        this.#work()
      },
      Math.max(0, Math.min(this.#after, this.#first + this.#max - now)),
    )
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
