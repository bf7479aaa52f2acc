import { expect, test } from 'vitest'
import { Backoff } from './backoff.ts'

test('at once, then after pauses that double up to the longest; calm resets it', () => {
  let now = 0
  const backoff = new Backoff(1000, 3000, () => now)
  expect(backoff.failed('a')).toBe(0)
  now = 400
  expect(backoff.failed('a')).toBe(600)
  expect(backoff.failed('b')).toBe(0)
  now = 1000
  expect(backoff.failed('a')).toBe(0)
  expect(backoff.failed('a')).toBe(2000)
  now = 3000
  expect(backoff.failed('a')).toBe(0)
  expect(backoff.failed('a')).toBe(3000)
  now = 13_000
  expect(backoff.failed('a')).toBe(0)
  expect(backoff.failed('a')).toBe(1000)
})
