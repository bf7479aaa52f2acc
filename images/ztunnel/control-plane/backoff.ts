/** Waiting times that double from `first` to `longest` milliseconds, until something goes well. */
export class Backoff {
  readonly #first: number
  readonly #longest: number
  #next: number

  constructor(first: number, longest: number) {
    this.#first = first
    this.#longest = longest
    this.#next = first
  }

  /** How long to wait now; the next answer is longer. */
  next(): number {
    const now = this.#next
    this.#next = Math.min(now * 2, this.#longest)
    return now
  }

  reset(): void {
    this.#next = this.#first
  }
}
