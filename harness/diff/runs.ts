import { type CaseResult, exitCodeOf, type Results, verdicts } from '../../reports/results.ts'
import { shortId } from '../matrix/cases.ts'

type Verdict = CaseResult['verdict']

export interface CaseChange {
  readonly id: string
  readonly before: Verdict
  readonly after: Verdict
  /** Why it is not as before, from the run in which it did not pass. */
  readonly reason?: string
  readonly hops: readonly HopChange[]
  /** Of the later run. */
  readonly reproduce: string
}

export interface HopChange {
  readonly id: string
  readonly title: string
  /** Absent: the path has no such hop in that run. */
  readonly before?: string
  readonly after?: string
}

export interface RunDifference {
  readonly before: string
  readonly after: string
  /** Each run is of one mode and release, and they are not the same: cases are compared by what follows it in their ids, hops where both have them. */
  readonly sides?: readonly [string, string]
  /** Cases of both whose verdict or hops differ. */
  readonly changed: readonly CaseChange[]
  readonly same: number
  /** Cases that only the later run has, or only the earlier one. */
  readonly added: readonly { readonly id: string; readonly verdict: Verdict }[]
  readonly gone: readonly { readonly id: string; readonly verdict: Verdict }[]
  /** Time of a request, later run to earlier, over cases that passed in both; absent: there are none. */
  readonly timing?: {
    readonly medianRatio: number
    readonly cases: number
    readonly slower: readonly { id: string; beforeMs: number; afterMs: number }[]
  }
}

/** A request is named as slower from here on: twice as long, and by more than a busy machine explains (milliseconds). */
const SLOWER = { ratio: 2, by: 50 }

/** What is not the same in two runs. Pure. */
export function diffRuns(a: Results, b: Results): RunDifference {
  const [one, other] = [onlySide(a), onlySide(b)]
  const sides = one !== undefined && other !== undefined && one !== other ? ([one, other] as const) : undefined
  const keyOf = (c: CaseResult) => (sides ? shortId(c) : c.id)
  const byKey = ({ cases }: Results) => new Map(cases.map((c) => [keyOf(c), c]))
  const [before, after] = [byKey(a), byKey(b)]
  const both = b.cases.flatMap((c) => {
    const was = before.get(keyOf(c))
    return was ? [{ was, is: c }] : []
  })
  const changes = both.map(({ was, is }) => changeOf(was, is, sides !== undefined))
  const changed = changes.filter((c) => c.before !== c.after || c.hops.length > 0)
  const timing = timingOf(both.filter(({ was, is }) => was.verdict === 'pass' && is.verdict === 'pass'))
  return {
    before: a.run,
    after: b.run,
    ...(sides ? { sides } : {}),
    changed,
    same: both.length - changed.length,
    added: b.cases.filter((c) => !before.has(keyOf(c))).map(({ id, verdict }) => ({ id, verdict })),
    gone: a.cases.filter((c) => !after.has(keyOf(c))).map(({ id, verdict }) => ({ id, verdict })),
    ...(timing ? { timing } : {}),
  }
}

/** The exit code of what got worse: the verdicts that were none before or better ones. 0: nothing. */
export function exitCodeOfDifference(d: RunDifference): number {
  const worse = [
    ...d.changed.filter((c) => c.before === 'pass' && c.after !== 'pass').map((c) => c.after),
    ...d.added.map((c) => c.verdict),
  ]
  const bad = worse.filter((v) => v === 'fail' || v === 'inconclusive' || v === 'error')
  if (bad.length === 0) return 0
  return exitCodeOf({ totals: Object.fromEntries(verdicts.map((v) => [v, bad.filter((x) => x === v).length])) as Results['totals'] })
}

/** `MODE[@RELEASE]` of a run that has no other. */
function onlySide({ cases }: Results): string | undefined {
  const [name, ...more] = new Set(cases.map((c) => c.id.slice(0, c.id.indexOf('/'))))
  return more.length > 0 ? undefined : name
}

function changeOf(was: CaseResult, is: CaseResult, otherPath: boolean): CaseChange {
  const reason = is.verdict === 'pass' ? (was.verdict === 'pass' ? undefined : was.reason) : is.reason
  return {
    id: is.id,
    before: was.verdict,
    after: is.verdict,
    ...(reason ? { reason } : {}),
    hops: hopChanges(was, is).filter((h) => !otherPath || (h.before !== undefined && h.after !== undefined)),
    reproduce: is.reproduce,
  }
}

const hopsOf = (c: CaseResult) => [...c.legs.flatMap((l) => l.hops.map((h) => ({ ...h, title: `${l.title}: ${h.title}` }))), ...c.checks]

function hopChanges(was: CaseResult, is: CaseResult): HopChange[] {
  const [before, after] = [new Map(hopsOf(was).map((h) => [h.id, h])), new Map(hopsOf(is).map((h) => [h.id, h]))]
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((id) => {
    const [a, b] = [before.get(id), after.get(id)]
    if (a?.verdict === b?.verdict) return []
    return [{ id, title: (b ?? a)!.title, ...(a ? { before: a.verdict } : {}), ...(b ? { after: b.verdict } : {}) }]
  })
}

function timingOf(pairs: readonly { was: CaseResult; is: CaseResult }[]): RunDifference['timing'] {
  const timed = pairs.filter(({ was, is }) => was.durationMs > 0 && is.durationMs > 0)
  if (timed.length === 0) return undefined
  const ratios = timed.map(({ was, is }) => is.durationMs / was.durationMs).sort((x, y) => x - y)
  const middle = ratios.length >> 1
  const median = ratios.length % 2 === 1 ? ratios[middle]! : (ratios[middle - 1]! + ratios[middle]!) / 2
  const slower = timed
    .filter(({ was, is }) => is.durationMs >= SLOWER.ratio * was.durationMs && is.durationMs - was.durationMs > SLOWER.by)
    .map(({ was, is }) => ({ id: is.id, beforeMs: was.durationMs, afterMs: is.durationMs }))
  return { medianRatio: Number(median.toFixed(3)), cases: timed.length, slower }
}
