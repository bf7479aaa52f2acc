import { code, H2Error } from './frame.ts'

/** Lets `burst` events pass, and `perSecond` more for each second. */
export class RateLimit {
  readonly #burst: number
  readonly #perSecond: number
  #left: number
  #at = performance.now()

  constructor(burst: number, perSecond: number) {
    this.#burst = burst
    this.#perSecond = perSecond
    this.#left = burst
  }

  /** Counts one event. @throws H2Error ENHANCE_YOUR_CALM if there were too many */
  take(): void {
    if (this.#left < 1) {
      const now = performance.now()
      this.#left = Math.min(this.#burst, this.#left + ((now - this.#at) / 1000) * this.#perSecond)
      this.#at = now
      if (this.#left < 1) throw new H2Error(code.enhanceYourCalm, 'too many streams reset, or frames that do nothing')
    }
    this.#left--
  }
}
