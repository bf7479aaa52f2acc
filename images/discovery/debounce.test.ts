import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Debounce } from './debounce.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('a burst is one run, after it', () => {
  const work = vi.fn()
  const debounce = new Debounce(work, 5, 100)
  for (let i = 0; i < 10; i++) {
    debounce.call()
    vi.advanceTimersByTime(4)
  }
  expect(work).not.toHaveBeenCalled()
  vi.advanceTimersByTime(5)
  expect(work).toHaveBeenCalledTimes(1)
})

test('calls without end are run in between, and the last one is never lost', () => {
  const work = vi.fn()
  const debounce = new Debounce(work, 5, 20)
  for (let i = 0; i < 25; i++) {
    debounce.call()
    vi.advanceTimersByTime(4)
  }
  // 100 ms of calls, at most 20 ms each (and up to one step more, as a timer begins after its call).
  expect(work.mock.calls.length).toBeGreaterThanOrEqual(4)
  const before = work.mock.calls.length
  debounce.call()
  vi.advanceTimersByTime(20)
  expect(work.mock.calls.length).toBe(before + 1)
})

test('a call from within a run leads to another', () => {
  let runs = 0
  const debounce: Debounce = new Debounce(() => ++runs < 3 && debounce.call(), 5, 20)
  debounce.call()
  vi.advanceTimersByTime(100)
  expect(runs).toBe(3)
})
