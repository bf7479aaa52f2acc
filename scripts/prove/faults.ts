import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { completeMeshes } from '../../harness/modes/index.ts'
import { asExpected, countOutcomes, type FaultResult, type FaultResults, faultsSchema, gotThrough } from '../../reports/faults.ts'
import { type Ended, finished } from './everyhop.ts'
import { table } from './figures.ts'
import type { Part, Proof } from './part.ts'

/** Every fault of every release is seeded; the traffic must catch each, and where that was written down before. */
export const faults: Part = async ({ out, signal, say }) => {
  const proofs: Proof[] = []
  for (const { mode, release } of completeMeshes) {
    signal.throwIfAborted()
    const name = `${mode}@${release}`
    const folder = join(out, name)
    const ended = await finished(['mutate', '--mode', mode, '--release', release, '--out', folder], { signal })
    const file = join(folder, 'faults.json')
    const proof: Proof = existsSync(file)
      ? faultsProof(faultsSchema.parse(JSON.parse(readFileSync(file, 'utf8'))), ended)
      : {
          failures: [`mutate ended with ${ended.exitCode}: ${ended.stderr.trim().split('\n').slice(-4).join(' / ')}`],
          report: 'no results',
        }
    say(`${name}: ${proof.report.split('\n')[0]}`)
    proofs.push({ failures: proof.failures.map((f) => `${name}: ${f}`), report: `### ${name}\n\n${proof.report}` })
  }
  return { failures: proofs.flatMap((p) => p.failures), report: proofs.map((p) => p.report).join('\n\n') }
}

/** What it said last, without the log lines and events below its message. */
function unfinished({ exitCode, stderr }: Pick<Ended, 'exitCode' | 'stderr'>): string {
  const lines = stderr.trim().split('\n')
  const message = lines.findLast((line) => line.startsWith('everyhop: ')) ?? lines.at(-1) ?? ''
  return `mutate ended with ${exitCode} before all faults were seeded: ${message}`
}

/** What the faults of one release prove, and what not. @param ended how the command ended, after how long */
export function faultsProof({ faults }: Pick<FaultResults, 'faults'>, ended: Pick<Ended, 'exitCode' | 'stderr' | 'seconds'>): Proof {
  const place = (p: FaultResult['expected']) => `${p.case} at ${p.hop}`
  const failures = faults.flatMap((f) => {
    if (gotThrough(f)) return [`${f.fault} is not caught: ${f.why}`]
    return f.traffic && !asExpected(f) ? [`${f.fault} is caught elsewhere: ${place(f.traffic)}, not ${place(f.expected)}`] : []
  })
  const summary = `${countOutcomes(faults)}; ${faults.filter((f) => f.audit).length} seen by the state audit; ${ended.seconds.toFixed(0)} s.`
  const rows = faults.map((f) => [
    f.fault,
    f.outcome,
    f.traffic ? place(f.traffic) : (f.equivalent ?? ''),
    asExpected(f) ? 'there' : place(f.expected),
    f.audit ? 'seen' : 'not seen',
    (f.durationMs / 1000).toFixed(1),
  ])
  return {
    // 1: one got through, which is told already.
    failures: [...failures, ...(ended.exitCode === 0 || (ended.exitCode === 1 && failures.length > 0) ? [] : [unfinished(ended)])],
    report: [summary, table(['fault', 'outcome', 'caught by traffic', 'expected', 'audit', 'seconds'], rows)].join('\n\n'),
  }
}
