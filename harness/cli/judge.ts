import { exitCodeOf } from '../../reports/results.ts'
import { EvidenceError } from '../evidence/bundle.ts'
import { judgeRun } from '../run/judged.ts'
import { caseText, summaryText } from './view.ts'

/** `everyhop judge DIR`: the verdicts of a saved run, from its files alone. @returns the exit code */
export function judge(directory: string, { json }: { json: boolean }): number {
  try {
    const { results } = judgeRun(directory)
    const paint = { colour: process.stdout.isTTY === true }
    if (json) process.stdout.write(`${JSON.stringify(results, null, 1)}\n`)
    else process.stdout.write(`${[...results.cases.map((c) => caseText(c, paint)), summaryText(results, paint)].join('\n')}\n`)
    return exitCodeOf(results)
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error
    process.stderr.write(`everyhop: ${error.message}\n`)
    return 3
  }
}
