/** Pauses that double from `first` to `most`, in milliseconds. */
export class Backoff {
  private readonly first: number
  private readonly most: number
  private pause: number

  constructor(first: number, most: number) {
    this.first = first
    this.most = most
    this.pause = first
  }

  next(): number {
    const pause = this.pause
    this.pause = Math.min(pause * 2, this.most)
    return pause
  }

  reset(): void {
    this.pause = this.first
  }
}

/** Resolves after `ms`, or at once when `signal` is aborted. Never rejects. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve()
      return
    }
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}

/** Resolves when `signal` is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
