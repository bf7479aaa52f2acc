import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Results, resultsSchema } from '../../reports/results.ts'
import { type Ended, everyhop, type Start } from './everyhop.ts'

/** A full run and what it told. */
export interface FullRun {
  readonly ended: Ended
  /** undefined: it left none. */
  readonly results: Results | undefined
  /** Seconds of each stage that it told, in order. */
  readonly stages: ReadonlyMap<string, number>
  /** From the moment that nodes stand and the mesh's installation begins until verdicts are written, seconds. NaN if it did not come that far. */
  readonly installToVerdict: number
  /** What is not as it must be: it ended well, and every case that the release supports passed. */
  readonly failures: readonly string[]
}

/** Makes one full run to its end. @param out the run's folder @param more options of `everyhop run` */
export async function fullRun(out: string, options?: Start, more: readonly string[] = []): Promise<FullRun> {
  const ended = await everyhop(['run', ...more, '--out', out], options).ended
  const told = stagesTold(ended.stderr)
  const at = (name: RegExp) => told.find((s) => name.test(s.name))?.clock ?? Number.NaN
  const results = resultsIn(out)
  const failures: string[] = []
  if (ended.exitCode !== 0) failures.push(`${out}: exit code ${ended.exitCode}: ${ended.stderr.trim().split('\n').slice(-4).join(' / ')}`)
  failures.push(...notPassed(results?.cases ?? []).map((failure) => `${out}: ${failure}`))
  if (!results?.cases.length) failures.push(`${out}: no case was judged`)
  return {
    ended,
    results,
    stages: new Map(told.map((s) => [s.name, s.seconds])),
    installToVerdict: at(/^judged and written/) - at(/^cluster of/),
    failures,
  }
}

/** What a release does not promise, and says so with its reason, is no failure. */
export function notPassed(cases: readonly Pick<Results['cases'][number], 'id' | 'verdict' | 'reason' | 'brokenHop'>[]): string[] {
  return cases
    .filter(({ verdict }) => verdict !== 'pass' && verdict !== 'unsupported')
    .map((c) => `${c.id} is ${c.verdict}: ${c.reason ?? c.brokenHop}`)
}

function resultsIn(out: string): Results | undefined {
  const file = join(out, 'results.json')
  return existsSync(file) ? resultsSchema.parse(JSON.parse(readFileSync(file, 'utf8'))) : undefined
}

/** The lines with which a run tells that a stage is done: `CLOCK s  NAME (SECONDS s)`. */
export function stagesTold(stderr: string): { clock: number; name: string; seconds: number }[] {
  return [...stderr.matchAll(/^ *([\d.]+) s {2}(.+) \(([\d.]+) s\)$/gm)].map(([, clock, name, seconds]) => ({
    clock: Number(clock),
    name: name as string,
    seconds: Number(seconds),
  }))
}
