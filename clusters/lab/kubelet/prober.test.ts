import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Prober } from './prober.ts'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

function start(probe: object, initial: boolean | undefined, answer: () => string | undefined) {
  const results: boolean[] = []
  let attempts = 0
  const prober = new Prober({
    probe,
    initial,
    attempt: async () => {
      attempts++
      return answer()
    },
    onResult: (success) => results.push(success),
  })
  return { prober, results, attempts: () => attempts }
}

test('before its first success a probe is impatient, then it keeps its period', async () => {
  let well = false
  const { prober, results, attempts } = start({ periodSeconds: 10 }, false, () => (well ? undefined : 'not yet'))
  await vi.advanceTimersByTimeAsync(1000)
  expect(attempts()).toBeGreaterThanOrEqual(5)
  well = true
  await vi.advanceTimersByTimeAsync(250)
  expect(results).toEqual([true])
  const before = attempts()
  await vi.advanceTimersByTimeAsync(30_000)
  expect(attempts() - before).toBe(3)
  prober.stop()
})

test('failures count once a period, and the threshold decides', async () => {
  const { prober, results } = start({ periodSeconds: 1, failureThreshold: 3 }, undefined, () => 'ill')
  await vi.advanceTimersByTimeAsync(1900)
  expect(results).toEqual([])
  await vi.advanceTimersByTimeAsync(400)
  expect(results).toEqual([false])
  prober.stop()
})

test('one success among failures starts the count again', async () => {
  let n = 0
  const { prober, results } = start({ periodSeconds: 1, failureThreshold: 2 }, true, () => (n++ % 2 === 0 ? undefined : 'ill'))
  await vi.advanceTimersByTimeAsync(20_000)
  expect(results).toEqual([])
  prober.stop()
})

test('successThreshold asks for successes in a row', async () => {
  let ill = false
  const { prober, results } = start({ periodSeconds: 1, successThreshold: 3, failureThreshold: 1 }, false, () => (ill ? 'ill' : undefined))
  await vi.advanceTimersByTimeAsync(1500)
  expect(results).toEqual([])
  await vi.advanceTimersByTimeAsync(1000)
  expect(results).toEqual([true])
  ill = true
  await vi.advanceTimersByTimeAsync(1000)
  expect(results).toEqual([true, false])
  prober.stop()
})

test('nothing is heard of a stopped probe, and the delay is kept', async () => {
  const { prober, results, attempts } = start({ initialDelaySeconds: 5 }, false, () => undefined)
  await vi.advanceTimersByTimeAsync(4900)
  expect(attempts()).toBe(0)
  prober.stop()
  await vi.advanceTimersByTimeAsync(60_000)
  expect(attempts()).toBe(0)
  expect(results).toEqual([])
})
