import { writeFileSync } from 'node:fs'
import type { Reporter, TestModule } from 'vitest/node'

/** How many tests ended how. */
export interface Tally {
  readonly passed: number
  /** Failed tests, files that failed without a failed test (they did not load, or a hook of theirs failed), and errors outside any test. */
  readonly failed: number
  readonly skipped: number
}

/** Counts what a test run said. */
export function count(modules: readonly Pick<TestModule, 'children' | 'state'>[], unhandledErrors: number): Tally {
  const tally = { passed: 0, failed: unhandledErrors, skipped: 0 }
  for (const module of modules) {
    let failedTests = 0
    for (const test of module.children.allTests()) {
      const { state } = test.result()
      // Pending: never came to its end, since the run was cut off.
      if (state === 'passed') tally.passed++
      else if (state === 'skipped') tally.skipped++
      else failedTests++
    }
    tally.failed += failedTests > 0 ? failedTests : module.state() === 'failed' ? 1 : 0
  }
  return tally
}

/** The last line of every test run. */
export function line({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`
}

/** A vitest reporter that leaves the tally as JSON in the file `$EVERYHOP_TALLY`. */
export default class TallyReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const file = process.env.EVERYHOP_TALLY
    if (file) writeFileSync(file, JSON.stringify(count(modules, unhandledErrors.length)))
  }
}
