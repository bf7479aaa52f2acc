import type { Stage } from '../../reports/results.ts'
import { stopwatch } from './batch.ts'

/** Keeps where a run's time went, for its results, and tells each stage as it ends. */
export class Stages {
  readonly #done: Stage[] = []
  readonly #tell: (name: string, milliseconds: number) => void
  /** Ends a stage: what has passed since the one before. */
  readonly end: (name: string) => void
  #told = 0

  constructor(tell: (name: string, milliseconds: number) => void) {
    this.#tell = tell
    this.end = stopwatch((name, ms) => {
      // Parts of it stand there already: only the rest is its own.
      this.#done.push({ name: this.#told > 0 ? `${name}: the rest` : name, ms: Math.max(0, Math.round(ms - this.#told)) })
      this.#told = 0
      tell(name, ms)
    })
  }

  /** A part of the stage that goes on. */
  part(name: string, milliseconds: number): void {
    this.#told += milliseconds
    this.#done.push({ name, ms: Math.round(milliseconds) })
    this.#tell(name, milliseconds)
  }

  get done(): readonly Stage[] {
    return this.#done
  }
}
