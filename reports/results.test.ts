import { expect, test } from 'vitest'
import { exitCodeOf } from './results.ts'

const totals = { pass: 0, fail: 0, unsupported: 0, inconclusive: 0, error: 0 }

test.each([
  [{ pass: 3 }, 0],
  [{ pass: 3, unsupported: 2 }, 0],
  [{ unsupported: 2 }, 3],
  [{}, 3],
  [{ pass: 3, inconclusive: 1 }, 4],
  [{ pass: 3, fail: 1, inconclusive: 1 }, 1],
  [{ fail: 1, error: 1 }, 3],
])('%o ends with exit code %i', (some, code) => {
  expect(exitCodeOf({ totals: { ...totals, ...some } })).toBe(code)
})
