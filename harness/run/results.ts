import { type Results, resultsSchema, verdicts } from '../../reports/results.ts'
import type { CaseVerdict } from '../judge/verdict.ts'

export interface RunFacts {
  readonly run: string
  readonly provider: string
  readonly release: string
  readonly startedAt: string
  readonly notes: readonly string[]
}

/** Puts verdicts into the form of `results.json`. */
export function resultsOf(facts: RunFacts, cases: readonly CaseVerdict[]): Results {
  const totals = Object.fromEntries(verdicts.map((v) => [v, cases.filter((c) => c.verdict === v).length]))
  return resultsSchema.parse({
    schema: 1,
    ...facts,
    notes: [...facts.notes],
    totals,
    cases: cases.map((c) => ({ ...c, provider: facts.provider, reproduce: reproduce(c.id, c.mode, facts.provider) })),
  })
}

/** The one line that runs just this case again. */
export function reproduce(id: string, mode: string, provider: string): string {
  return `npm start -- --provider ${provider} --mode ${mode} --case '${id}'`
}
