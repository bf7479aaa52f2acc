import type { Case } from './cell.ts'

export interface BudgetInput {
  readonly cases: readonly Case[]
  readonly budgetMs: number
  /** What everything else of the run takes: clusters, installs, judging. */
  readonly overheadMs: number
  /** What a case took before; undefined: it was never run here. */
  readonly costOf: (c: Case) => number | undefined
}

export interface Plan {
  /** In matrix order. */
  readonly run: readonly Case[]
  readonly left: readonly { readonly case: Case; readonly costMs: number }[]
  /** What the run will take, as far as one can know. */
  readonly expectedMs: number
}

/** For a case that was never run here and when no other tells better. */
const UNKNOWN_MS = 250

/**
 * Picks what fits the budget. Worth most: the quick matrix, in its order; then, for its cost, what has most pairs of axis values that nothing picked has yet.
 * Pure: the same durations give the same plan.
 */
export function planBudget({ cases, budgetMs, overheadMs, costOf }: BudgetInput): Plan {
  const known = cases.map(costOf).filter((ms) => ms !== undefined)
  const typical = known.length > 0 ? known.toSorted((a, b) => a - b)[known.length >> 1]! : UNKNOWN_MS
  const cost = new Map(cases.map((c) => [c, costOf(c) ?? typical]))
  const picked = new Set<Case>()
  const covered = new Set<string>()
  let spent = overheadMs
  const take = (c: Case) => {
    if (spent + cost.get(c)! > budgetMs) return
    picked.add(c)
    spent += cost.get(c)!
    for (const pair of pairsOf(c)) covered.add(pair)
  }
  for (const c of cases.filter((x) => x.quick)) take(c)
  const rest = new Set(cases.filter((x) => !x.quick))
  while (rest.size > 0) {
    const worth = (c: Case) => (pairsOf(c).filter((pair) => !covered.has(pair)).length + 0.01) / Math.max(1, cost.get(c)!)
    // The first of equals: matrix order.
    const best = [...rest].reduce((a, b) => (worth(b) > worth(a) ? b : a))
    rest.delete(best)
    take(best)
  }
  return {
    run: cases.filter((c) => picked.has(c)),
    left: cases.filter((c) => !picked.has(c)).map((c) => ({ case: c, costMs: cost.get(c)! })),
    expectedMs: spent,
  }
}

/** Every two values that the case has together. */
function pairsOf(c: Case): string[] {
  const values = Object.entries(c)
    .filter(([key, value]) => typeof value === 'string' && key !== 'id')
    .map(([key, value]) => `${key}=${value}`)
  return values.flatMap((a, i) => values.slice(i + 1).map((b) => `${a} ${b}`))
}
