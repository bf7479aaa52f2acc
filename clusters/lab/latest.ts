import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Runs `work` again after each call, but never twice at a time: the first call runs it at once, calls during a run lead to one more run after it,
 * `minimumMs` after its start at the soonest. Failures are reported and tried again after a pause, until one succeeds or `stop` is called.
 */
export class Latest {
  private readonly work: () => void | Promise<void>
  private readonly minimumMs: number
  private readonly onError: (error: Error) => void
  private wanted = false
  private soonest = 0
  private stopped = false
  private running: Promise<void> | undefined

  constructor(work: () => void | Promise<void>, onError: (error: Error) => void, minimumMs = 0) {
    this.work = work
    this.onError = onError
    this.minimumMs = minimumMs
  }

  /** Asks for a run; returns at once. */
  call(): void {
    this.wanted = true
    if (!this.stopped) this.running ??= this.run()
  }

  /** Resolves when everything asked for so far is done. */
  async settled(): Promise<void> {
    await this.running
  }

  /** No more runs after the present one. */
  async stop(): Promise<void> {
    this.stopped = true
    await this.running
  }

  private async run(): Promise<void> {
    for (let pause = 20; this.wanted && !this.stopped; ) {
      // A timer may fire a little early.
      for (let rest = this.soonest - performance.now(); rest > 0; rest = this.soonest - performance.now()) await sleep(Math.ceil(rest))
      this.wanted = false
      this.soonest = performance.now() + this.minimumMs
      try {
        await this.work()
        pause = 20
      } catch (error) {
        if (this.stopped) break
        this.onError(error as Error)
        this.wanted = true
        await sleep(pause)
        pause = Math.min(pause * 2, 1000)
      }
    }
    this.running = undefined
  }
}
