import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Turns } from './turns.ts'

test('so many at once, in order, also after a failure', async () => {
  const turns = new Turns(2)
  const started: number[] = []
  let running = 0
  let most = 0
  const work = (i: number) => async () => {
    started.push(i)
    most = Math.max(most, ++running)
    await delay(1)
    running--
    if (i === 1) throw new Error('no')
    return i
  }
  const results = await Promise.allSettled([0, 1, 2, 3, 4].map((i) => turns.run(work(i))))
  expect(results.map((r) => (r.status === 'fulfilled' ? r.value : 'failed'))).toEqual([0, 'failed', 2, 3, 4])
  expect(started).toEqual([0, 1, 2, 3, 4])
  expect(most).toBe(2)
})
