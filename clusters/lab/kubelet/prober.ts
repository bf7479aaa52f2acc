import type { V1Probe } from '@kubernetes/client-node'

/** Until its first success a probe is tried at least this often, in milliseconds: a lab should not wait for a period to end. */
const impatience = 200

export interface ProberOptions {
  readonly probe: V1Probe
  /** Does the probe once; says why it failed. */
  readonly attempt: () => Promise<string | undefined>
  /** Called when the result, thresholds applied, becomes another. `message` is the last failure's. */
  readonly onResult: (success: boolean, message: string) => void
  /** Called with each failed attempt that counts. */
  readonly onFailure?: (message: string) => void
  /** What counts before the first decision. Readiness: false; liveness: true. */
  readonly initial: boolean | undefined
}

/** Repeats a probe with the thresholds of its specification until it is stopped. */
export class Prober {
  private readonly options: ProberOptions
  private timer: NodeJS.Timeout | undefined
  private stopped = false
  private result: boolean | undefined
  private succeeded = false
  private successes = 0
  private failures = 0
  /** When a failed attempt counts again. */
  private nextCounted = 0

  constructor(options: ProberOptions) {
    this.options = options
    this.result = options.initial
    const delay = (options.probe.initialDelaySeconds ?? 0) * 1000
    this.nextCounted = Date.now() + delay
    this.schedule(delay)
  }

  stop(): void {
    this.stopped = true
    clearTimeout(this.timer)
  }

  private schedule(delay: number): void {
    if (!this.stopped) this.timer = setTimeout(() => void this.once(), delay)
  }

  private async once(): Promise<void> {
    const { probe, attempt, onResult, onFailure } = this.options
    const began = Date.now()
    const period = (probe.periodSeconds ?? 10) * 1000
    const problem = await attempt()
    if (this.stopped) return
    if (problem === undefined) {
      this.failures = 0
      this.successes++
      this.succeeded = true
      if (this.result !== true && this.successes >= (probe.successThreshold ?? 1)) this.decide(true, '', onResult)
    } else if (began >= this.nextCounted) {
      this.nextCounted = began + period
      this.successes = 0
      this.failures++
      onFailure?.(problem)
      if (this.result !== false && this.failures >= (probe.failureThreshold ?? 3)) this.decide(false, problem, onResult)
    }
    const pause = this.succeeded ? period : Math.min(period, impatience)
    this.schedule(Math.max(0, pause - (Date.now() - began)))
  }

  private decide(result: boolean, message: string, onResult: ProberOptions['onResult']): void {
    this.result = result
    onResult(result, message)
  }
}
