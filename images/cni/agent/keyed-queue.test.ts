import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { KeyedLock, RetryQueue } from './keyed-queue.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

test('one key: one after the other, also after a failure; other keys side by side', async () => {
  const lock = new KeyedLock()
  const order: string[] = []
  const gate = Promise.withResolvers<void>()
  const first = lock.run('a', async () => {
    await gate.promise
    order.push('a1')
    throw new Error('x')
  })
  const second = lock.run('a', async () => {
    order.push('a2')
  })
  await lock.run('b', async () => {
    order.push('b')
  })
  gate.resolve()
  await expect(first).rejects.toThrow('x')
  await second
  expect(order).toEqual(['b', 'a1', 'a2'])
})

test('what fails is tried again after 5 ms, doubling up to 5 s, until it works', async () => {
  const waits: number[] = []
  let calls = 0
  const queue = new RetryQueue(
    async () => {
      if (++calls <= 13) throw new Error('not yet')
    },
    (_key, _error, ms) => waits.push(ms),
  )
  queue.add('a')
  await vi.runAllTimersAsync()
  expect(waits).toEqual([5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000, 5000])
  expect(calls).toBe(14)
})

test('what is put in while it is worked on is worked on once more; after close nothing is', async () => {
  let calls = 0
  const gate = Promise.withResolvers<void>()
  const queue = new RetryQueue(
    async () => {
      if (++calls === 1) await gate.promise
    },
    () => {},
  )
  queue.add('a')
  queue.add('a')
  queue.add('a')
  gate.resolve()
  await vi.runAllTimersAsync()
  expect(calls).toBe(2)
  queue.close()
  queue.add('a')
  await vi.runAllTimersAsync()
  expect(calls).toBe(2)
})
