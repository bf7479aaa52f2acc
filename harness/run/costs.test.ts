import { expect, test } from 'vitest'
import type { Judgement } from '../judge/bundle.ts'
import { costsOf } from './costs.ts'

const line = (value: object) => ({ value, ref: '' })
const judged = (...values: object[]) => [{ bundle: { traffic: values.map(line) } } as unknown as Judgement]

test('a case costs the windows of its requests, each window once', () => {
  const main = { case: 'a', role: 'main', window: { from: 1_000_000, to: 1_030_000 } }
  const costs = costsOf(
    judged(
      main,
      { ...main, role: 'positive' },
      { case: 'a', role: 'negative', window: { from: 2_000_000, to: 2_012_000 } },
      { case: 'b', window: { from: 3_000_000, to: 3_001_000 } },
    ),
  )
  expect([...costs]).toEqual([
    ['a', 42],
    ['b', 1],
  ])
})

test('lines that are no requests cost nothing', () => {
  expect([...costsOf(judged({ event: 'restart' }))]).toEqual([])
})
