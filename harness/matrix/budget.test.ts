import fc from 'fast-check'
import { expect, test } from 'vitest'
import { planBudget } from './budget.ts'
import { casesOf } from './cases.ts'

const cases = casesOf('inpod')
const quick = cases.filter((c) => c.quick)
const plan = (budgetMs: number, costOf: (id: string) => number | undefined = () => 100, overheadMs = 1000) =>
  planBudget({ cases, budgetMs, overheadMs, costOf: (c) => costOf(c.id) })

test('enough for all runs all, in matrix order', () => {
  const { run, left, expectedMs } = plan(1000 + 100 * cases.length)
  expect(run).toEqual(cases)
  expect(left).toEqual([])
  expect(expectedMs).toBe(1000 + 100 * cases.length)
})

test('quick cases come before any other', () => {
  const { run } = plan(1000 + 100 * quick.length)
  expect(run).toEqual(quick)
  const less = plan(1000 + 100 * (quick.length - 2))
  expect(less.run).toEqual(quick.slice(0, -2))
})

test('what brings no new pair of values is dropped before what brings one, and the dear before the cheap', () => {
  const [a, b] = cases.filter((c) => !c.quick) as [(typeof cases)[number], (typeof cases)[number]]
  const twin = { ...a, id: `${a.id}/twin` }
  const of = (list: typeof cases, cost: (c: (typeof cases)[number]) => number) =>
    planBudget({ cases: list, budgetMs: 200, overheadMs: 0, costOf: cost }).run.map((c) => c.id)
  expect(of([a, twin, b], () => 100)).toEqual([a.id, b.id])
  expect(of([a, twin], (c) => (c === a ? 150 : 100))).toEqual([twin.id])
})

test('a case that was never run counts as much as a typical one', () => {
  const never = cases[0]!.id
  const { left } = plan(0, (id) => (id === never ? undefined : 70))
  expect(left.find((l) => l.case.id === never)!.costMs).toBe(70)
  expect(planBudget({ cases, budgetMs: 0, overheadMs: 0, costOf: () => undefined }).left[0]!.costMs).toBe(250)
})

test('whatever the durations: the plan fits, nothing is lost, and nothing that is left out would still fit', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: cases.length, maxLength: cases.length }),
      fc.integer({ min: 0, max: 60_000 }),
      (costs, budgetMs) => {
        const cost = new Map(cases.map((c, i) => [c.id, costs[i]!]))
        const { run, left, expectedMs } = plan(budgetMs, (id) => cost.get(id), 500)
        expect(run.length + left.length).toBe(cases.length)
        if (run.length > 0) expect(expectedMs).toBeLessThanOrEqual(budgetMs)
        for (const l of left) expect(expectedMs + l.costMs).toBeGreaterThan(budgetMs)
      },
    ),
    { numRuns: 50 },
  )
})
