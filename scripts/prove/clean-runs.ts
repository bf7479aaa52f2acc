import { join } from 'node:path'
import { median, spread, spreadHead, table } from './figures.ts'
import type { Part } from './part.ts'
import { type FullRun, fullRun } from './runs.ts'

/** Full runs in a row; in each every case passes. */
export const cleanRuns: Part = async ({ out, times = 10, signal, say }) => {
  const runs: FullRun[] = []
  for (let i = 1; i <= times; i++) {
    signal.throwIfAborted()
    const run = await fullRun(join(out, `run-${i}`), { signal })
    runs.push(run)
    const passed = run.results?.totals.pass ?? 0
    say(
      `${i} of ${times}: ${passed} of ${run.results?.cases.length ?? 0} cases pass, ${run.installToVerdict.toFixed(1)} s from install to verdicts${run.failures.length > 0 ? `; NOT CLEAN: ${run.failures[0]}` : ''}`,
    )
  }
  return { failures: runs.flatMap((r) => r.failures), report: reportOf(runs) }
}

function reportOf(runs: readonly FullRun[]): string {
  const clean = runs.filter((r) => r.failures.length === 0)
  const cases = [...new Set(runs.map((r) => r.results?.cases.length ?? 0))].join(', ')
  const names = [...new Set(clean.flatMap((r) => [...r.stages.keys()]))]
  const stages = names.map((name) => [name, median(clean.flatMap((r) => r.stages.get(name) ?? [])).toFixed(2)])
  return [
    `${clean.length} of ${runs.length} runs clean, ${cases} cases in each.`,
    table(
      ['', ...spreadHead],
      [
        ['install to verdicts', ...spread(clean.map((r) => r.installToVerdict))],
        ['whole process', ...spread(clean.map((r) => r.ended.seconds))],
      ],
    ),
    table(['stage', 'median s'], stages),
  ].join('\n\n')
}
