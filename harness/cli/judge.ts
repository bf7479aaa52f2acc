import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { template } from '../../reports/html/template.ts'
import { exitCodeOf } from '../../reports/results.ts'
import { EvidenceError } from '../evidence/bundle.ts'
import { judgeRun } from '../run/judged.ts'
import { brokenClaims, writeIndexHtml, writeReports } from '../run/reports.ts'
import { caseText, summaryText } from './view.ts'

export interface JudgeArguments {
  readonly json: boolean
  /** Folder for the reports; @default none are written */
  readonly out?: string
}

/** `everyhop judge DIR`: the verdicts of a saved run, from its files alone; they must bear out its conformance report, if it has one. @returns the exit code */
export async function judge(directory: string, { json, out }: JudgeArguments): Promise<number> {
  try {
    const { results, judgements } = judgeRun(directory)
    const broken = brokenClaims(results, directory)
    if (out !== undefined) {
      mkdirSync(out, { recursive: true })
      writeReports(results, judgements, resolve(out))
      writeIndexHtml(results, judgements, resolve(out), await template())
    }
    const paint = { colour: process.stdout.isTTY === true }
    if (json) process.stdout.write(`${JSON.stringify(results, null, 1)}\n`)
    else process.stdout.write(`${[...results.cases.map((c) => caseText(c, paint)), summaryText(results, paint)].join('\n')}\n`)
    for (const claim of broken) process.stderr.write(`everyhop: ${join(directory, 'conformance.yaml')}: ${claim}\n`)
    return broken.length > 0 ? 3 : exitCodeOf(results)
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error
    process.stderr.write(`everyhop: ${error.message}\n`)
    return 3
  }
}
