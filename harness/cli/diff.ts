import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Results, resultsSchema } from '../../reports/results.ts'
import { quoted } from '../../reports/shell-words.ts'
import { diffSides, type Side } from '../diff/paths.ts'
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

const takes = 'diff takes two runs, or one run and --release twice'

/** `everyhop diff RUN RUN`, or `diff RUN [RUN] --release A --release B`. @returns the exit code: of what got worse; where paths part is no fault */
export function diff(runs: readonly string[], { json, release }: DiffArguments): number {
  try {
    if (runs.length > 2 || (release.length === 0 ? runs.length !== 2 : release.length !== 2)) return usage(takes)
    if (release.length > 0) {
      if (runs.length < 2 && release[0] === release[1]) return usage(`--release ${release[0]} twice is the same paths; ${takes}`)
      const folders = runs.length === 2 ? runs.map((run) => findRun(run)) : new Array<string>(2).fill(findRun(runs[0]))
      const found = diffSides(...(folders.map((folder, i) => sideIn(folder, release[i]!)) as [Side, Side]))
      print(json ? found : sideDifferenceText(found))
      return 0
    }
    const folders = runs.map((run) => findRun(run)) as [string, string]
    const [before, after] = folders.map(resultsIn) as [Results, Results]
    const difference = diffRuns(before, after)
    print(json ? difference : runDifferenceText(difference))
    if (difference.sides && !json)
      print(
        `\nwhere their paths part: bin/everyhop diff ${folders.map(quoted).join(' ')} --release ${before.release} --release ${after.release}`,
      )
    return exitCodeOfDifference(difference)
  } catch (error) {
    if (error instanceof NoRunError || error instanceof NoSideError) return usage(error.message)
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
  const fix = 'Give the folder of a run of this version'
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new EvidenceError(file, '', `it is not JSON, or cannot be read: ${(error as Error).message}`, fix)
  }
  const { success, data, error } = resultsSchema.safeParse(value)
  if (!success) throw new EvidenceError(file, '', error.issues[0]?.message ?? 'no results', fix)
  return data
}

/** A run that has no such side. */
class NoSideError extends Error {}

function sideIn(directory: string, release: string): Side {
  const { judgements } = judgeRun(directory)
  const mine = judgements.filter((j) => j.manifest.release === release)
  const has = new Set(judgements.map((j) => j.manifest.release))
  if (mine.length === 0) throw new NoSideError(`${directory} has no release ${release}; it has ${[...has].join(', ')}`)
  return sideOf(release, mine)
}

/** What some bundles of a run had to show, as one side of a comparison. */
function sideOf(name: string, judgements: readonly Judgement[]): Side {
  const cases = judgements.flatMap(({ bundle, verdicts }) =>
    bundle.cases.flatMap(({ value }) => {
      const expectation = value as Expectation | { unsupported: string; case: { id: string } }
      const verdict = verdicts.find((v) => v.id === expectation.case.id)
      return 'unsupported' in expectation || !verdict ? [] : [{ expectation, verdict }]
    }),
  )
  return { name, cases: cases.toSorted((x, y) => x.expectation.index - y.expectation.index) }
}
