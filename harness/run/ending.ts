import type { Cluster } from '../../clusters/cluster.ts'
import type { Results, Stage } from '../../reports/results.ts'
import { EvidenceError } from '../evidence/bundle.ts'
import type { Judgement } from '../judge/bundle.ts'
import { judgeRun } from './judged.ts'
import { writeIndexHtml, writeReports } from './reports.ts'
import { resultsOf } from './results.ts'

/** Judges what a run left and writes its reports. @returns undefined when there is nothing that can be judged; why is among the problems then */
export async function judged(
  directory: string,
  stages: readonly Stage[],
  known: ReadonlyMap<string, Judgement>,
  app: Promise<string>,
  problems: string[],
): Promise<ReturnType<typeof judgeRun> | undefined> {
  try {
    const { results, judgements } = judgeRun(directory, stages, known)
    writeReports(results, judgements, directory)
    try {
      writeIndexHtml(results, judgements, directory, await app)
    } catch (error) {
      // The verdicts stand without their picture.
      problems.push(`index.html could not be made: ${(error as Error).message}`)
    }
    return { results, judgements }
  } catch (error) {
    // Without a first problem this is one; after one there may be nothing to judge yet.
    if (problems.length === 0) problems.push(error instanceof EvidenceError ? error.message : ((error as Error).stack ?? String(error)))
    return undefined
  }
}

/** Of a run that left nothing to judge. */
export const noResults = (run: string, provider: string, release: string): Results =>
  resultsOf(
    {
      run,
      provider,
      release,
      startedAt: new Date().toISOString(),
      notes: [],
    },
    [],
  )

/** For an error that tells its own story, its message; for a mistake in our code, where it is. */
export function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const mistake = [TypeError, ReferenceError, RangeError, SyntaxError].some((kind) => error instanceof kind)
  return (mistake && error.stack) || error.message
}

/** A cluster that is gone is the one problem: the others only follow from it. */
export async function lost(cluster: Cluster, problems: string[]): Promise<void> {
  try {
    await cluster.check()
  } catch (error) {
    problems.splice(0, problems.length, (error as Error).message)
  }
}

/** Takes a run's cluster down; what could not be is a problem. */
export async function takenDown(cluster: Cluster | undefined, problems: string[]): Promise<void> {
  try {
    await cluster?.[Symbol.asyncDispose]()
  } catch (error) {
    problems.push(`teardown: ${(error as Error).message}`)
  }
}
