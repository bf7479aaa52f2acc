import { InvalidArgumentError } from 'commander'
import { planBudget } from '../matrix/budget.ts'
import type { Case } from '../matrix/cell.ts'
import type { NotRun } from '../run/context.ts'
import { lastDuration, rememberDurations } from './durations.ts'

/** `90`, `90s`, `8m`, `1.5m`. @returns milliseconds */
export function budget(value: string): number {
  const [, number, unit = 's'] = /^(\d+(?:\.\d+)?)(s|m)?$/.exec(value) ?? []
  if (number === undefined || Number(number) === 0) throw new InvalidArgumentError('use seconds or minutes, such as 90s or 8m')
  return Number(number) * (unit === 'm' ? 60_000 : 1000)
}

type Cell = Pick<Case, 'id' | 'mode' | 'release'>

export interface BudgetPlan {
  readonly cases: readonly Case[]
  readonly notRun: readonly NotRun[]
  /** What is told before the run. */
  readonly told: string
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`

/** The cases that fit, by what they took before on this machine; what else a run takes counts for each mesh that must be installed. */
export function fitBudget(cases: readonly Case[], disruptions: readonly Cell[], budgetMs: number): BudgetPlan {
  const overheadMs = overheadOf(cases)
  const { run, left, expectedMs } = planBudget({ cases, budgetMs, overheadMs, costOf: (c) => lastDuration(`case ${c.id}`) })
  const reason = `over the budget of ${seconds(budgetMs)}`
  const unplanned = disruptions.map(({ id, mode, release }) => ({ id, mode, release, reason: 'disruptions are not planned into a budget' }))
  const fitting = left.map(({ case: c }) => ({ id: c.id, mode: c.mode, release: c.release, axes: axesOf(c), reason }))
  const notRun = [...fitting, ...unplanned]
  const told = `budget ${seconds(budgetMs)}: ${run.length} of ${cases.length} cases, about ${seconds(expectedMs)} (${seconds(overheadMs)} of it before and after them)${notRun.length > 0 ? `; ${notRun.length} are left out` : ''}`
  return { cases: run, notRun, told }
}

/** For a machine on which none was ever run. */
const UNKNOWN_OVERHEAD_MS = 15_000

const overheadKey = (cases: readonly Case[]) => `overhead ${new Set(cases.map((c) => `${c.mode} ${c.release}`)).size}`
const overheadOf = (cases: readonly Case[]) => lastDuration(overheadKey(cases)) ?? UNKNOWN_OVERHEAD_MS

/** Keeps what a run's cases took, and what else it took, for the next plan. */
export function rememberCosts(cases: readonly Case[], totalMs: number, costs: ReadonlyMap<string, number>): void {
  const own = [...costs.values()].reduce((sum, ms) => sum + ms, 0)
  const entries = [...costs].map(([id, ms]) => [`case ${id}`, ms] as const)
  rememberDurations(Object.fromEntries([...entries, [overheadKey(cases), Math.max(0, totalMs - own)]]))
}

const axesOf = (c: Case) =>
  Object.fromEntries(
    Object.entries(c).filter((e): e is [string, string] => typeof e[1] === 'string' && !['id', 'mode', 'release'].includes(e[0])),
  )
