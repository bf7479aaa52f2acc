import { captureOf } from '../../reports/case-words.ts'
import type { Evidence as Entry, Report, ReportBatch, ReportCase } from '../../reports/html/report.ts'
import type { CaseResult, Results } from '../../reports/results.ts'
import { disruptionsIn } from '../disruption/bundle.ts'
import type { DisruptionRecord } from '../disruption/expectation.ts'
import { observations } from '../evidence/bundle.ts'
import type { Observation } from '../evidence/observation.ts'
import type { Judgement } from '../judge/bundle.ts'
import { Evidence } from '../judge/evidence.ts'
import type { Expectation, Unsupported } from '../judge/expectation.ts'
import type { Attempt } from '../traffic/attempt.ts'
import { CITED, caseOf } from './case.ts'
import { EvidenceTable } from './evidence-table.ts'
import { WalkStore, Walks } from './walks.ts'

/** What a judged bundle gives to a report. */
export interface Judged extends ReportBatch {
  /** Its cases as results tell them. */
  readonly results: readonly CaseResult[]
  readonly expectations: readonly (Expectation | Unsupported)[]
  readonly disruptions?: readonly DisruptionRecord[]
  readonly attempts: readonly Attempt[]
  readonly observations: readonly Observation[]
  /** The same observations, as the judge asks for them. */
  readonly evidence: Evidence
  /** The fault that was seeded while it was made. */
  readonly fault?: string
  /** Whether its cases' captures lie beside the report. */
  readonly captures: boolean
}

/** @param folder where the bundle lies, from where the report will */
export function judgedOf(
  { manifest, bundle, evidence }: Judgement,
  folder: string,
  results: readonly CaseResult[],
): Omit<Judged, 'captures'> {
  return {
    mode: manifest.mode,
    release: manifest.release,
    folder,
    environment: flat(manifest.environment ?? {}),
    results,
    expectations: bundle.cases.map(({ value }) => value as Expectation | Unsupported),
    disruptions: disruptionsIn(bundle.directory, []),
    attempts: bundle.traffic.map(({ value }) => value as Attempt),
    observations: observations(bundle),
    evidence,
  }
}

/** Groups of values by their full names: `images ztunnel`. */
function flat(values: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) =>
      value && typeof value === 'object'
        ? Object.entries(flat(value as Record<string, unknown>)).map(([k, v]) => [`${name} ${k}`, v])
        : [[name, String(value)]],
    ),
  )
}

type Head = Pick<Report, 'kind' | 'faults'> & Pick<Results, 'run' | 'provider' | 'startedAt' | 'totals' | 'notes' | 'stages' | 'notRun'>

/** Gathers what a report shows, bundle by bundle; none is kept. The same bundles give the same report. */
export class ReportBuilder {
  readonly #epoch: number
  readonly #entries: Entry[] = []
  readonly #walks = new WalkStore()
  readonly #batches: ReportBatch[] = []
  readonly #cases: ReportCase[] = []

  /** @param startedAt of the first bundle: times are told from there */
  constructor(startedAt: string) {
    this.#epoch = Date.parse(startedAt) * 1000
  }

  add(judged: Judged): void {
    const { mode, release, folder, environment, results, expectations, attempts, observations, evidence, fault, captures } = judged
    const batch = this.#batches.length
    this.#batches.push({ mode, release, folder, environment })
    const wanted = new Set(
      results.flatMap((c) =>
        [...c.legs.flatMap((l) => l.hops), ...c.checks].flatMap((h) => h.proofs.flatMap((p) => p.refs.slice(0, CITED))),
      ),
    )
    const cited = observations.filter((o) => wanted.has(o.ref))
    const table = new EvidenceTable(this.#entries, cited, new Walks(this.#walks, evidence), this.#epoch)
    const disruptions = new Map((judged.disruptions ?? []).flatMap((d) => ('load' in d ? [[d.case.id, d]] : [])))
    const expected = new Map(expectations.map((e) => [e.case.id, e]))
    const mains = new Map(attempts.filter((a) => a.role === 'main').map((a) => [a.case, a]))
    for (const result of results) {
      const found = expected.get(result.id)
      const expectation = found && 'path' in found ? found : undefined
      const [main, disruption] = [mains.get(result.id), disruptions.get(result.id)]
      const told = caseOf({ result, expectation, main, disruption, evidence, table, epoch: this.#epoch })
      const capture = captures ? captureOf(result) : undefined
      const key = fault ? `${fault}: ${result.id}` : result.id
      this.#cases.push({ key, batch, ...(fault ? { fault } : {}), ...told, ...(capture ? { capture } : {}) })
    }
  }

  /** Cases of which there are results only: their pointers into the bundle stay what they are, text. */
  addAlone(results: readonly CaseResult[]): void {
    for (const [, own] of Map.groupBy(results, (c) => `${c.mode} ${c.release}`)) {
      const { mode, release } = own[0]!
      const none = { folder: 'bundle', environment: {}, expectations: [], attempts: [], observations: [], evidence: new Evidence([]) }
      this.add({ mode, release, ...none, results: own, captures: false })
    }
  }

  report({ kind, faults, run, provider, startedAt, totals, notes, stages, notRun }: Head): Report {
    return {
      schema: 1,
      kind,
      ...(faults ? { faults } : {}),
      run,
      provider,
      startedAt,
      totals,
      notes,
      notRun: (notRun ?? []).map(({ id, reason }) => ({ id, reason })),
      stages: stages ?? [],
      batches: this.#batches,
      epoch: this.#epoch,
      cases: this.#cases,
      evidence: this.#entries,
      walks: this.#walks.walks,
      rules: this.#walks.rules,
    }
  }
}
