import { type CaseResult, type Results, resultsSchema, type Stage, verdicts } from '../../reports/results.ts'
import { alwaysQuoted } from '../../reports/shell-words.ts'
import type { CaseVerdict } from '../judge/verdict.ts'

export interface RunFacts {
  readonly run: string
  readonly provider: string
  /** All of the run, separated by commas. */
  readonly release: string
  readonly startedAt: string
  /** As the command was given it; undefined: the one that ships. */
  readonly topology?: string
  readonly stages?: readonly Stage[]
  readonly notes: readonly string[]
  readonly notRun?: Results['notRun']
  readonly environment?: Results['environment']
}

/** A verdict, with where its case stands in the matrix. */
export type JudgedCell = CaseVerdict & Pick<CaseResult, 'release' | 'axes' | 'evidence'>

/** Puts verdicts into the form of `results.json`. */
export function resultsOf(facts: RunFacts, cases: readonly JudgedCell[]): Results {
  const totals = Object.fromEntries(verdicts.map((v) => [v, cases.filter((c) => c.verdict === v).length]))
  return resultsSchema.parse({
    schema: 1,
    run: facts.run,
    provider: facts.provider,
    release: facts.release,
    startedAt: facts.startedAt,
    ...(facts.stages ? { stages: [...facts.stages] } : {}),
    notes: [...facts.notes],
    ...(facts.notRun?.length ? { notRun: facts.notRun } : {}),
    ...(facts.environment ? { environment: facts.environment } : {}),
    totals,
    cases: cases.map((c) => ({ ...c, provider: facts.provider, reproduce: reproduce(c, facts) })),
  })
}

/** The one line that runs just this case again: what differs from the defaults, and the case. */
function reproduce(
  { id, mode, release }: Pick<JudgedCell, 'id' | 'mode' | 'release'>,
  { provider, topology, environment }: Pick<RunFacts, 'provider' | 'topology' | 'environment'>,
): string {
  const { values } = environment ?? {}
  const given = `${topology === undefined ? '' : ` --topology ${alwaysQuoted(topology)}`}${typeof values === 'object' ? ` --values ${alwaysQuoted(`${values.file}`)}` : ''}`
  return `npm start -- --provider ${provider} --mode ${mode} --release ${release}${given} --case '${id}'`
}
