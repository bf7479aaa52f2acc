import { disruptionsIn } from '../disruption/bundle.ts'
import { judgeDisruption } from '../disruption/judge/judge.ts'
import { type Bundle, type Manifest, observations, openBundle } from '../evidence/bundle.ts'
import { topologyRecordSchema } from '../evidence/topology-record.ts'
import { attemptSchema } from '../traffic/attempt.ts'
import { Evidence } from './evidence.ts'
import { expectationSchema } from './expectation.ts'
import { judgeCase } from './judge.ts'
import type { CaseVerdict } from './verdict.ts'

export interface Judgement {
  readonly manifest: Manifest
  /** In matrix order. */
  readonly verdicts: readonly CaseVerdict[]
  readonly notes: readonly string[]
  readonly bundle: Bundle<unknown, unknown, unknown>
  /** The observations of the bundle, in the order in which the judge asks. */
  readonly evidence: Evidence
}

/**
 * Judges a saved bundle: the same files give the same verdicts, on any machine.
 * @throws EvidenceError naming the file, the place and the fix
 */
export function judgeBundle(directory: string): Judgement {
  const bundle = openBundle(directory, { topology: topologyRecordSchema, case: expectationSchema, attempt: attemptSchema })
  const evidence = new Evidence(observations(bundle))
  const attempts = Map.groupBy(
    bundle.traffic.map((line) => line.value),
    (a) => a.case,
  )
  const verdicts = bundle.cases
    .map(({ value }) => value)
    .toSorted((a, b) => a.index - b.index)
    .map((e): CaseVerdict => {
      if (!('unsupported' in e)) return judgeCase(e, attempts.get(e.case.id) ?? [], evidence)
      return { id: e.case.id, mode: e.case.mode, verdict: 'unsupported', reason: e.unsupported, durationMs: 0, legs: [], checks: [] }
    })
  const disruptions = disruptionsIn(bundle.directory, bundle.notes).map((e) => judgeDisruption(e, evidence))
  return { manifest: bundle.manifest, verdicts: [...verdicts, ...disruptions], notes: bundle.notes, bundle, evidence }
}
