import { expect, test } from 'vitest'
import type { Outcome } from '../modes/path.ts'
import type { Attempt } from '../traffic/attempt.ts'
import { outcomeCheck } from './checks.ts'
import { Evidence } from './evidence.ts'
import type { Expectation } from './expectation.ts'

const judged = (outcome: Outcome, code: string, phase: string) => {
  const result = { ok: false, echoed: false, startedAt: 0, endedAt: 1, error: { code, message: '', phase } }
  const attempt = { token: 'f'.repeat(32), window: { from: 0, to: 9 }, result } as Attempt
  return outcomeCheck({ path: { legs: [], bindings: {}, outcome } } as unknown as Expectation, attempt, new Evidence([])).verdict
}

test.for([
  ['closed', 'ECONNRESET', 'request', 'pass'],
  ['closed', 'EECHO', 'request', 'pass'],
  ['closed', 'EHBONE', 'tunnel', 'pass'],
  ['closed', 'ETIMEDOUT', 'request', 'fail'],
  ['closed', 'ECONNREFUSED', 'connect', 'fail'],
  ['closed', 'HTTP_503', 'request', 'fail'],
  ['closed', 'HBONE_401', 'tunnel', 'fail'],
  ['closed', 'ETLS', 'tunnel', 'fail'],
  ['answered 401', 'HBONE_401', 'tunnel', 'pass'],
  ['answered 401', 'HBONE_403', 'tunnel', 'fail'],
  ['answered 401', 'EHBONE', 'tunnel', 'fail'],
  ['refused', 'ETIMEDOUT', 'connect', 'pass'],
] as const)('a request that must be %s and ends with %s (%s): %s', ([outcome, code, phase, verdict]) => {
  expect(judged(outcome, code, phase)).toBe(verdict)
})
