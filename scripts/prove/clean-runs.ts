import { join } from 'node:path'
import { completeMeshes } from '../../harness/modes/index.ts'
import type { Results } from '../../reports/results.ts'
import { median, spread, spreadHead, table } from './figures.ts'
import type { Part } from './part.ts'
import { type FullRun, fullRun } from './runs.ts'

/** Runs of everything in a row, requests and disruptions of every release; in each every case passes that its release supports. */
export const cleanRuns: Part = async ({ out, times = 10, signal, say }) => {
  const runs: FullRun[] = []
  const [modes, releases] = [completeMeshes.map((m) => m.mode), completeMeshes.map((m) => m.release)].map((names) =>
    [...new Set(names)].join(','),
  )
  for (let i = 1; i <= times; i++) {
    signal.throwIfAborted()
    const run = await fullRun(join(out, `run-${i}`), { signal }, ['--mode', modes!, '--release', releases!, '--disruptions'])
    runs.push(run)
    say(
      `${i} of ${times}: ${told(run)}, ${run.installToVerdict.toFixed(1)} s from install to verdicts${run.failures.length > 0 ? `; NOT CLEAN: ${run.failures[0]}` : ''}`,
    )
  }
  return { failures: runs.flatMap((r) => r.failures), report: reportOf(runs) }
}

function told({ results }: FullRun): string {
  const count = (verdict: string) => results?.cases.filter((c) => c.verdict === verdict).length ?? 0
  return `${count('pass')} of ${results?.cases.length ?? 0} cases pass, ${count('unsupported')} unsupported`
}

function reportOf(runs: readonly FullRun[]): string {
  const clean = runs.filter((r) => r.failures.length === 0)
  const cases = [...new Set(runs.map(told))].join('; ')
  const names = [...new Set(clean.flatMap((r) => [...r.stages.keys()]))]
  const stages = names.map((name) => [name, median(clean.flatMap((r) => r.stages.get(name) ?? [])).toFixed(2)])
  return [
    `${clean.length} of ${runs.length} runs clean; in each ${cases}.`,
    table(
      ['', ...spreadHead],
      [
        ['install to verdicts', ...spread(clean.map((r) => r.installToVerdict))],
        ['whole process', ...spread(clean.map((r) => r.ended.seconds))],
      ],
    ),
    table(['stage', 'median s'], stages),
    lossesOf(runs.map((r) => r.results)),
  ].join('\n\n')
}

/** For each disruption under load, in each run: of how many requests how many were lost or reset, and how many came late. */
export function lossesOf(runs: readonly (Pick<Results, 'cases'> | undefined)[]): string {
  const told = runs.map((run) => new Map((run?.cases ?? []).flatMap((c) => (loss(c) ? [[c.id, loss(c)!]] : []))))
  const ids = [...new Set(told.flatMap((run) => [...run.keys()]))]
  const rows = ids.map((id) => [id, ...told.map((run) => run.get(id) ?? '–')])
  return table(['lost or reset of requests, late', ...runs.map((_, i) => `run ${i + 1}`)], rows)
}

/** undefined: what became of its requests is not what the case is about. */
function loss({ checks }: Results['cases'][number]): string | undefined {
  if (!checks.some((c) => c.id === 'load/lost')) return undefined
  const words = checks.flatMap((c) => c.proofs).find((p) => p.expected.startsWith('each of '))?.expected ?? ''
  const of = (what: string) => Number(new RegExp(`(\\d+) ${what}`).exec(words)?.[1])
  return `${of('lost') + of('reset')} of ${of('requests')}, ${of('late')}`
}
