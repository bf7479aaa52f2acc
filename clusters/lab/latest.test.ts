import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Latest } from './latest.ts'

test('calls during a run lead to one more, never two at a time', async () => {
  const gates: (() => void)[] = []
  let running = 0
  let most = 0
  const latest = new Latest(
    async () => {
      most = Math.max(most, ++running)
      await new Promise<void>((resolve) => gates.push(resolve))
      running--
    },
    () => {},
  )
  latest.call()
  latest.call()
  latest.call()
  await turn()
  expect(gates).toHaveLength(1)
  latest.call()
  gates[0]?.()
  await turn()
  expect(gates).toHaveLength(2)
  gates[1]?.()
  await latest.settled()
  expect([gates.length, most]).toEqual([2, 1])
})

test('a burst is two runs: at once, and when the minimum has passed', async () => {
  const at: number[] = []
  const latest = new Latest(
    () => void at.push(performance.now()),
    () => {},
    40,
  )
  const started = performance.now()
  for (let i = 0; i < 10; i++) {
    latest.call()
    await turn()
  }
  await latest.settled()
  expect(at).toHaveLength(2)
  expect(at[1]! - started).toBeGreaterThanOrEqual(40)
})

test('what fails is reported and tried again until it succeeds, but not after stop', async () => {
  const errors: string[] = []
  let tries = 0
  const latest = new Latest(
    () => {
      if (++tries < 3) throw new Error(`try ${tries}`)
    },
    (error) => errors.push(error.message),
  )
  latest.call()
  await latest.settled()
  expect([tries, errors]).toEqual([3, ['try 1', 'try 2']])
  await latest.stop()
  latest.call()
  expect(tries).toBe(3)
})
