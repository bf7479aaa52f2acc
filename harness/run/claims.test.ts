import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Claim, Claims, shared } from './claims.ts'

const claim = (...pods: string[]): Claim => ({ alone: false, pods })
const alone: Claim = { alone: true, pods: [] }
/** More than are ever asked for. */
const MANY = 99
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

test('whatever is asked for in whatever order: all of it runs, never more at once than may, and never two that share a pod, or beside one that must be alone', async () => {
  const claims = fc.array(fc.record({ alone: fc.boolean(), pods: fc.subarray(['a', 'b', 'c', 'd'], { minLength: 1, maxLength: 2 }) }), {
    maxLength: 20,
  })
  await fc.assert(
    fc.asyncProperty(
      claims,
      fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 20, maxLength: 20 }),
      fc.integer({ min: 1, max: 5 }),
      async (asked, turns, limit) => {
        const turnstile = new Claims(limit)
        const running = new Set<Claim>()
        let done = 0
        await Promise.all(
          asked.map((mine, i) =>
            turnstile.with(mine, async () => {
              for (const other of running)
                expect(mine.alone || other.alone || mine.pods.some((pod) => other.pods.includes(pod)), JSON.stringify([mine, other])).toBe(
                  false,
                )
              running.add(mine)
              expect(running.size).toBeLessThanOrEqual(limit)
              for (let t = 0; t < turns[i]!; t++) await turn()
              running.delete(mine)
              done++
            }),
          ),
        )
        expect(done).toBe(asked.length)
      },
    ),
    { numRuns: 100 },
  )
})

test('those that share nothing run at once; one that shares a pod waits for it, and so does what came after and shares with that', async () => {
  const turnstile = new Claims(MANY)
  const log: string[] = []
  const free = new Map<string, () => void>()
  const ask = (name: string, c: Claim) =>
    turnstile.with(c, async () => {
      log.push(name)
      await new Promise<void>((resolve) => free.set(name, resolve))
    })
  const all = [
    ask('ab', claim('a', 'b')),
    ask('cd', claim('c', 'd')),
    ask('bc', claim('b', 'c')),
    ask('ef', claim('e', 'f')),
    ask('alone', alone),
    ask('gh', claim('g', 'h')),
  ]
  await turn()
  expect(log).toEqual(['ab', 'cd', 'ef'])
  for (const name of ['ab', 'cd']) free.get(name)!()
  await turn()
  expect(log).toEqual(['ab', 'cd', 'ef', 'bc'])
  for (const name of ['ef', 'bc']) free.get(name)!()
  await turn()
  expect(log.at(-1)).toBe('alone')
  free.get('alone')!()
  await turn()
  expect(log.at(-1)).toBe('gh')
  free.get('gh')!()
  await Promise.all(all)
})

test('work that fails frees its pods', async () => {
  const turnstile = new Claims(1)
  await expect(turnstile.with(claim('a'), () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(await turnstile.with(claim('a'), async () => 'yes')).toBe('yes')
})

test("whose turn has not come when it is called off does not run, and is in nobody's way", async () => {
  const turnstile = new Claims(MANY)
  const ending = new AbortController()
  const first = Promise.withResolvers<string>()
  const running = turnstile.with(claim('a'), () => first.promise, ending.signal)
  const never = turnstile.with(alone, () => Promise.reject(new Error('ran')), ending.signal)
  const behind = turnstile.with(claim('b'), async () => 'behind')
  ending.abort()
  expect(await never).toBeUndefined()
  expect(await behind).toBe('behind')
  expect(await turnstile.with(claim('b'), () => Promise.reject(new Error('ran')), ending.signal)).toBeUndefined()
  // What runs is done to its end.
  first.resolve('first')
  expect(await running).toBe('first')
})

test('shared work: everybody gets a run that began after they asked, and who asks meanwhile shares one', async () => {
  let runs = 0
  const free: (() => void)[] = []
  const ask = shared(async () => {
    const mine = ++runs
    await new Promise<void>((resolve) => free.push(resolve))
    return mine
  })
  const first = ask()
  const [second, third] = [ask(), ask()]
  free.shift()!()
  expect(await first).toBe(1)
  await turn()
  const fourth = ask()
  free.shift()!()
  expect(await Promise.all([second, third])).toEqual([2, 2])
  await turn()
  free.shift()!()
  expect(await fourth).toBe(3)
})
