import type { Reporter, TestCase } from 'vitest/node'
import { type PhaseTold, phasesTold } from './tell.ts'

export interface Progress {
  /** A request was made, or a claim was checked: `done` of `total`. */
  step(done: number, total: number, what: string): void
  phase(phase: PhaseTold): void
  /** Anything else that a suite printed. */
  text(output: string): void
}

/** vitest's events as the progress of a run. Verdicts do not pass through here: they are read from the bundles. */
export class RunReporter implements Reporter {
  readonly problems: string[] = []
  readonly #progress: Progress
  #total = 0
  #done = 0

  constructor(progress: Progress) {
    this.#progress = progress
  }

  onTestModuleCollected(module: Parameters<NonNullable<Reporter['onTestModuleCollected']>>[0]): void {
    this.#total += [...module.children.allTests()].length
  }

  onTestCaseResult(test: TestCase): void {
    this.#progress.step(++this.#done, this.#total, test.name)
    const { state, errors } = test.result()
    // A request that could not be made is the harness's problem; a claim that does not hold is the mesh's, and in the verdicts.
    const claim = test.parent.type === 'suite' && test.parent.name.startsWith('every request')
    if (state === 'failed' && !claim) this.problems.push(`${test.name}: ${errors.map((e) => e.message).join('; ')}`)
  }

  onUserConsoleLog(log: { content: string }): void {
    const { phases, rest } = phasesTold(log.content)
    for (const phase of phases) this.#progress.phase(phase)
    if (rest.trim()) this.#progress.text(rest)
  }
}
