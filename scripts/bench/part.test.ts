import { expect, test } from 'vitest'
import { inPairs, median } from './part.ts'

test('the median is the middle one, or the mean of the two in the middle', () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 10, 2])).toBe(3)
})

test('a pair is always told in the same order; which is measured first alternates', async () => {
  const order: string[] = []
  const measure = (what: string) => async () => `${what}${order.push(what)}`
  expect(await inPairs(3, new AbortController().signal, measure('a'), measure('b'))).toEqual([
    ['a1', 'b2'],
    ['a4', 'b3'],
    ['a5', 'b6'],
  ])
})

test('no round begins after an interruption', async () => {
  const ending = new AbortController()
  let measured = 0
  const measure = async () => {
    if (++measured === 2) ending.abort(new Error('interrupted'))
  }
  await expect(inPairs(5, ending.signal, measure, measure)).rejects.toThrow('interrupted')
  expect(measured).toBe(2)
})
