import { existsSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { faultsSchema } from '../../reports/faults.ts'
import { renderReport } from '../../reports/html/render.ts'
import type { FaultMatrix } from '../../reports/html/report.ts'
import type { Results } from '../../reports/results.ts'
import type { Judgement } from '../judge/bundle.ts'
import { judgedOf, ReportBuilder } from './report.ts'

/**
 * A run's `index.html`, for the folder where it will lie: it follows from what was judged, and shows the faults whose results lie there too.
 * @param template the built app
 */
export function runHtml(results: Results, judgements: readonly Judgement[], directory: string, template: string): string {
  const builder = new ReportBuilder(results.startedAt)
  const told = new Set<string>()
  for (const judgement of judgements) {
    const ids = new Set(judgement.verdicts.map((v) => v.id))
    for (const id of ids) told.add(id)
    const folder = relative(directory, judgement.bundle.directory.path)
    builder.add({
      ...judgedOf(
        judgement,
        folder,
        results.cases.filter((c) => ids.has(c.id)),
      ),
      captures: true,
    })
  }
  // Cases of other kinds, such as disruptions, are judged from bundles of their own: they carry their checks, and no path.
  builder.addAlone(results.cases.filter((c) => !told.has(c.id)))
  const faults = faultsIn(directory)
  return renderReport(builder.report({ ...results, kind: 'run', ...(faults ? { faults } : {}) }), template)
}

/** What `mutate` left in a folder. @throws when it is there and cannot be read */
function faultsIn(directory: string): FaultMatrix | undefined {
  const file = join(directory, 'faults.json')
  if (!existsSync(file)) return undefined
  const { mode, release, faults } = faultsSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
  return { mode, release, faults }
}
