import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Runs `work` again after each call, but never twice at a time: calls during a run lead to one more run after it.
 * Failures are reported and tried again after a pause, until one succeeds or `stop` is called.
 */
export class Latest {
  private readonly work: () => Promise<void>
  private readonly onError: (error: Error) => void
  private wanted = false
  private stopped = false
  private running: Promise<void> | undefined

  constructor(work: () => Promise<void>, onError: (error: Error) => void) {
    this.work = work
    this.onError = onError
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
      this.wanted = false
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
