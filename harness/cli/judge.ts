import { join } from 'node:path'
import { template } from '../../reports/html/template.ts'
import { exitCodeOf } from '../../reports/results.ts'
import { EvidenceError } from '../evidence/bundle.ts'
import { findRun, NoRunError } from '../run/find-run.ts'
import { judgeRun } from '../run/judged.ts'
import { makeFolder, OutFolderError } from '../run/out-folder.ts'
import { brokenClaims, writeIndexHtml, writeReports } from '../run/reports.ts'
import { usage } from './run.ts'
import { caseText, paintOf, summaryText } from './view.ts'

export interface JudgeArguments {
  readonly json: boolean
  /** Folder for the reports; @default none are written */
  readonly out?: string
}

/** `everyhop judge DIR`: the verdicts of a saved run, from its files alone; they must bear out its conformance report, if it has one. @returns the exit code */
export async function judge(directory: string, { json, out }: JudgeArguments): Promise<number> {
  try {
    // Before the work: whoever gave a folder that cannot be used need not wait for it.
    const folder = out === undefined ? undefined : makeFolder(out)
    const { results, judgements } = judgeRun(findRun(directory))
    const broken = brokenClaims(results, directory)
    if (folder !== undefined) {
      writeReports(results, judgements, folder)
      writeIndexHtml(results, judgements, folder, await template())
    }
    const paint = paintOf(process.stdout)
    if (json) process.stdout.write(`${JSON.stringify(results, null, 1)}\n`)
    else process.stdout.write(`${[...results.cases.map((c) => caseText(c, paint)), summaryText(results, paint)].join('\n')}\n`)
    for (const claim of broken) process.stderr.write(`everyhop: ${join(directory, 'conformance.yaml')}: ${claim}\n`)
    return broken.length > 0 ? 3 : exitCodeOf(results)
  } catch (error) {
    if (error instanceof NoRunError || error instanceof OutFolderError) return usage(error.message)
    if (!(error instanceof EvidenceError)) throw error
    process.stderr.write(`everyhop: ${error.message}\n`)
    return 3
  }
}
