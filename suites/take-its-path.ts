import { expect } from 'vitest'
import type { SuiteVerdict } from '../harness/run/judging.ts'

interface PathMatchers {
  /** The case's verdict is `pass`: each hop of its path is proven, and its controls hold. */
  toTakeItsPath(): void
}

declare module 'vitest' {
  interface Matchers extends PathMatchers {}
}

expect.extend({
  toTakeItsPath(received: SuiteVerdict | undefined) {
    return {
      pass: received?.verdict === 'pass',
      message: () =>
        received
          ? `${received.id}: ${received.verdict}${received.brokenHop ? ` at ${received.brokenHop}` : ''}: ${received.reason ?? 'it took its path'}`
          : 'there is no verdict for this case',
    }
  },
})
