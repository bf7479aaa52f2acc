import { exitCodeOf, type Results, verdicts } from '../../reports/results.ts'
import { EvidenceError } from '../evidence/bundle.ts'
import { storyOf } from '../explain/story.ts'
import { storyText } from '../explain/text.ts'
import type { CaseVerdict } from '../judge/verdict.ts'
import { matching } from '../matrix/select.ts'
import { findRun, NoRunError } from '../run/find-run.ts'
import { judgeRun } from '../run/judged.ts'
import { usage } from './run.ts'

/** `everyhop explain CASE [RUN]`: one request, hop by hop, in words. @returns the exit code of a run that had only this case */
export function explain(glob: string, run: string | undefined, { json }: { json: boolean }): number {
  try {
    const directory = findRun(run)
    const { results, judgements } = judgeRun(directory)
    const found = matching(results.cases, glob)
    if (found.length !== 1) return usage(candidates(glob, directory, found, results))
    const [c] = found as [Results['cases'][number]]
    const { verdict, reproduce } = c
    const story = storyOf(judgements.find((j) => j.verdicts.some((v) => v.id === c.id))!, c as CaseVerdict)
    if (json) process.stdout.write(`${JSON.stringify(story, null, 1)}\n`)
    else {
      const width = Math.max(60, Math.min(process.stdout.columns || 120, 140))
      process.stdout.write(`${storyText(story, { colour: process.stdout.isTTY === true, width })}\n\nRun it again: ${reproduce}\n`)
    }
    const totals = Object.fromEntries(verdicts.map((v) => [v, v === verdict ? 1 : 0])) as Results['totals']
    return exitCodeOf({ totals })
  } catch (error) {
    if (error instanceof NoRunError) return usage(error.message)
    if (!(error instanceof EvidenceError)) throw error
    process.stderr.write(`everyhop: ${error.message}\n`)
    return 3
  }
}

function candidates(glob: string, directory: string, found: readonly { id: string }[], results: Results): string {
  const list = (cases: readonly { id: string }[]) => cases.map((c) => `\n  ${c.id}`).join('')
  if (found.length > 0) return `${found.length} cases of ${directory} match ${glob}; name one:${list(found)}`
  return `no case of ${directory} matches ${glob}; it has:${list(results.cases)}`
}
