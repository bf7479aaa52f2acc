import { expect, test } from 'vitest'
import { casesOf } from '../matrix/cases.ts'
import { budget, fitBudget } from './budget.ts'

test('a budget is seconds or minutes', () => {
  expect(['90', '90s', '8m', '1.5m'].map(budget)).toEqual([90_000, 90_000, 480_000, 90_000])
  for (const wrong of ['', '0', '-1', '5h', 'soon', '1 m'])
    expect(() => budget(wrong), wrong).toThrow('use seconds or minutes, such as 90s or 8m')
})

test('what is left out is named, each with the reason, and counted', () => {
  const cases = casesOf('inpod')
  const { cases: run, notRun, told } = fitBudget(cases, [], 1)
  expect(run).toEqual([])
  expect(notRun.map((n) => n.id)).toEqual(cases.map((c) => c.id))
  expect(notRun[0]).toMatchObject({
    mode: 'inpod',
    release: 'today',
    axes: { traffic: cases[0]!.traffic },
    reason: 'over the budget of 0.0 s',
  })
  expect(told).toMatch(new RegExp(`^budget 0\\.0 s: 0 of ${cases.length} cases, about .*; ${cases.length} are left out$`))
})
