import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Results, resultsSchema } from '../../reports/results.ts'
import { diffSides, type Side, type SideDifference } from '../diff/paths.ts'
import { diffRuns, exitCodeOfDifference } from '../diff/runs.ts'
import { runDifferenceText, sideDifferenceText } from '../diff/text.ts'
import { EvidenceError } from '../evidence/bundle.ts'
import type { Judgement } from '../judge/bundle.ts'
import type { Expectation } from '../judge/expectation.ts'
import { findRun, NoRunError } from '../run/find-run.ts'
import { judgeRun } from '../run/judged.ts'
import { usage } from './run.ts'

export interface DiffArguments {
  readonly json: boolean
  /** Two of one run, or none. */
  readonly release: readonly string[]
}

/** `everyhop diff RUN RUN`, or `diff RUN --release A --release B`. @returns the exit code: of what got worse; where paths part is no fault */
export function diff(runs: readonly string[], { json, release }: DiffArguments): number {
  try {
    if (release.length > 0) {
      if (release.length !== 2 || runs.length > 1) return usage('diff takes two runs, or one run and --release twice')
      const found = sidesOf(findRun(runs[0]), release)
      if (typeof found === 'string') return usage(found)
      print(json ? found : sideDifferenceText(found))
      return 0
    }
    if (runs.length !== 2) return usage('diff takes two runs, or one run and --release twice')
    const [before, after] = runs.map((run) => resultsIn(findRun(run))) as [Results, Results]
    const difference = diffRuns(before, after)
    print(json ? difference : runDifferenceText(difference))
    return exitCodeOfDifference(difference)
  } catch (error) {
    if (error instanceof NoRunError) return usage(error.message)
    if (!(error instanceof EvidenceError)) throw error
    process.stderr.write(`everyhop: ${error.message}\n`)
    return 3
  }
}

const print = (value: unknown) => process.stdout.write(`${typeof value === 'string' ? value : JSON.stringify(value, null, 1)}\n`)

/** From the evidence, so that both are judged alike; where only the results were kept, from these. */
function resultsIn(directory: string): Results {
  const file = join(directory, 'results.json')
  if (existsSync(join(directory, 'bundle')) || existsSync(join(directory, 'bundle.json')) || !existsSync(file))
    return judgeRun(directory).results
  const { success, data, error } = resultsSchema.safeParse(JSON.parse(readFileSync(file, 'utf8')))
  if (!success) throw new EvidenceError(file, '', error.issues[0]?.message ?? 'no results', 'Give the folder of a run of this version')
  return data
}

function sidesOf(directory: string, releases: readonly string[]): SideDifference | string {
  const { judgements } = judgeRun(directory)
  const has = judgements.map((j) => j.manifest.release)
  const missing = releases.find((r) => !has.includes(r))
  if (missing) return `${directory} has no release ${missing}; it has ${[...new Set(has)].join(', ')}`
  const [a, b] = releases.map((release) => sideOf(release, judgements)) as [Side, Side]
  return diffSides(a, b)
}

function sideOf(release: string, judgements: readonly Judgement[]): Side {
  const mine = judgements.filter((j) => j.manifest.release === release)
  const cases = mine.flatMap(({ bundle, verdicts }) =>
    bundle.cases.flatMap(({ value }) => {
      const expectation = value as Expectation | { unsupported: string; case: { id: string } }
      const verdict = verdicts.find((v) => v.id === expectation.case.id)
      return 'unsupported' in expectation || !verdict ? [] : [{ expectation, verdict }]
    }),
  )
  return { name: release, cases: cases.toSorted((x, y) => x.expectation.index - y.expectation.index) }
}
