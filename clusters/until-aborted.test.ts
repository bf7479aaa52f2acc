import { expect, test } from 'vitest'
import { untilAborted } from './until-aborted.ts'

test('gives what the work gives, and throws what it throws', async () => {
  const { signal } = new AbortController()
  expect(await untilAborted(Promise.resolve(7), signal)).toBe(7)
  await expect(untilAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('no')
})

test('ends at the signal, before or while it waits, and takes no notice of how the work ends then', async () => {
  const ending = new AbortController()
  const work = Promise.withResolvers<number>()
  const waiting = untilAborted(work.promise, ending.signal)
  ending.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  await expect(untilAborted(Promise.resolve(7), ending.signal)).rejects.toThrow('enough')
  // An unhandled rejection would fail this test run.
  work.reject(new Error('late'))
  await new Promise((resolve) => setImmediate(resolve))
})
