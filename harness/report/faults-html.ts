import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { faultsSchema } from '../../reports/faults.ts'
import { renderReport } from '../../reports/html/render.ts'
import type { CaseResult, Results } from '../../reports/results.ts'
import { type Judgement, judgeBundle } from '../judge/bundle.ts'
import { resultsOf } from '../run/results.ts'
import { judgedOf, ReportBuilder } from './report.ts'

/**
 * The `index.html` of a folder that `mutate` left: the fault matrix, and every case that was run with a fault, from the faults' own bundles.
 * @param template the built app
 */
export function faultsHtml(directory: string, template: string): string {
  const { mode, release, provider, faults } = faultsSchema.parse(JSON.parse(readFileSync(join(directory, 'faults.json'), 'utf8')))
  let builder: ReportBuilder | undefined
  let startedAt = ''
  for (const { fault } of faults) {
    if (!existsSync(join(directory, fault, 'bundle.json'))) continue
    const judgement = judgeBundle(join(directory, fault))
    if (!builder) {
      startedAt = String(judgement.manifest.startedAt)
      builder = new ReportBuilder(startedAt)
    }
    builder.add({ ...judgedOf(judgement, fault, resultsWith(fault, judgement)), fault, captures: false })
  }
  const totals = { pass: 0, fail: 0, unsupported: 0, inconclusive: 0, error: 0 } satisfies Results['totals']
  const head = { run: `${faults.length} faults`, provider, startedAt, totals, notes: [], faults: { mode, release, faults } }
  return renderReport((builder ?? new ReportBuilder(new Date(0).toISOString())).report({ kind: 'faults', ...head }), template)
}

function resultsWith(fault: string, { manifest, verdicts }: Judgement): readonly CaseResult[] {
  const { run, provider, mode, release } = manifest
  const { cases } = resultsOf(
    { run, provider, release, startedAt: String(manifest.startedAt), notes: [] },
    verdicts.map((v) => ({ ...v, release })),
  )
  return cases.map((c) => ({ ...c, reproduce: `bin/everyhop mutate --mode ${mode} --release ${release} --fault '${fault}'` }))
}
