import type { ReportCase, ReportHop, ReportLeg, ReportProof } from '../../reports/html/report.ts'
import type { CaseResult } from '../../reports/results.ts'
import type { DisruptionExpectation } from '../disruption/expectation.ts'
import type { PacketObservation } from '../evidence/observation.ts'
import { checkWords, hopWords, legWords } from '../explain/words.ts'
import { bind, fill, type Variables } from '../judge/bind.ts'
import type { Evidence } from '../judge/evidence.ts'
import type { Expectation } from '../judge/expectation.ts'
import type { Leg, Proof } from '../modes/path.ts'
import type { Place } from '../modes/place.ts'
import type { Attempt } from '../traffic/attempt.ts'
import type { EvidenceTable } from './evidence-table.ts'
import { loadOf } from './load.ts'

export interface CaseSources {
  readonly result: CaseResult
  /** Absent: the case is of a kind that has no path, or could not be bound. */
  readonly expectation: Expectation | undefined
  readonly main: Attempt | undefined
  /** Of a disruption that could be made. */
  readonly disruption?: DisruptionExpectation | undefined
  readonly evidence: Evidence
  readonly table: EvidenceTable
  /** Microseconds since 1970. */
  readonly epoch: number
}

/** Where a connection is seen, either way. */
const placeOf = (p: PacketObservation) => [p.node, p.netns, p.dev, ...[p.from, p.to].sort()].join(' ')

/** So many pieces of evidence of one proof are shown: the accounts of long loads and streams rest on thousands. */
export const CITED = 60

type Told = Omit<ReportCase, 'key' | 'batch' | 'fault' | 'capture'>

/** All that the report tells of one case. */
export function caseOf(sources: CaseSources): Told {
  const { result, expectation, main, disruption, evidence, table, epoch } = sources
  const load = disruption && loadOf(disruption, evidence)
  const variables = expectation && main ? bind(expectation.path, main, evidence) : {}
  const legs = result.legs.map((leg, l): ReportLeg => {
    const asked = expectation?.path.legs[l]
    const hops = leg.hops.map((hop, h) => hopOf(hop, result.mode, table, asked?.hops[h]?.proofs, variables))
    const means = legWords(leg.id, result.mode)
    return { ...leg, ...(means ? { means } : {}), reused: asked?.reused ?? false, facts: asked?.facts ?? '', hops }
  })
  const { id, mode, release, verdict, reason, brokenHop, likely, durationMs, reproduce } = result
  return {
    id,
    mode,
    release,
    verdict,
    ...(reason === undefined ? {} : { reason }),
    ...(brokenHop === undefined ? {} : { brokenHop }),
    ...(likely === undefined ? {} : { likely }),
    durationMs,
    reproduce,
    axes: result.axes ?? axesOf(expectation),
    ...(expectation && main ? { request: requestOf(expectation, main, epoch) } : {}),
    legs,
    checks: result.checks.map((hop) => hopOf(hop, result.mode, table, undefined, variables)),
    packets: packetsOf(sources, expectation?.path.legs ?? []),
    ...(load ? { load } : {}),
  }
}

function hopOf(
  hop: CaseResult['checks'][number],
  mode: string,
  table: EvidenceTable,
  asked: readonly Proof[] | undefined,
  variables: Variables,
): ReportHop {
  const proofs = hop.proofs.map(({ kind, label, status, expected, seen, refs }, i): ReportProof => {
    const spec = asked?.[i]
    const cited = refs.slice(0, CITED)
    return {
      kind,
      label,
      status,
      expected,
      ...(seen === undefined ? {} : { seen }),
      ...(spec ? { asked: JSON.parse(fill(JSON.stringify(spec), variables)) } : {}),
      refs: cited.map((ref) => table.cited(ref)).filter((x) => x !== undefined),
      ...pointers(cited.filter((ref) => !table.observation(ref))),
      ...(refs.length > CITED ? { more: refs.length - CITED } : {}),
    }
  })
  const means = hop.vantage ? hopWords(hop.title, mode) : checkWords(hop.id)
  return { id: hop.id, title: hop.title, ...(means ? { means } : {}), vantage: hop.vantage, verdict: hop.verdict, proofs }
}

const pointers = (refs: readonly string[]) => (refs.length > 0 ? { pointers: refs } : {})

const axesOf = (expectation: Expectation | undefined): Record<string, string> =>
  Object.fromEntries(
    Object.entries(expectation?.case ?? {}).flatMap(([name, value]) =>
      typeof value === 'string' && !['id', 'mode', 'release'].includes(name) ? [[name, value]] : [],
    ),
  )

function requestOf(e: Expectation, main: Attempt, epoch: number): NonNullable<ReportCase['request']> {
  const place = ({ node, netns, ip, ...rest }: Place & { enrolled?: boolean }) => ({ node, netns, ip, enrolled: rest.enrolled === true })
  return {
    client: place(e.client),
    server: place(e.server),
    destination: e.destination,
    endpoint: e.endpoint,
    decisive: e.decisive,
    outcome: e.path.outcome,
    token: main.token,
    t: Math.round(main.result.startedAt * 1000 - epoch),
  }
}

/** The packets that the verdict rests on, and the others of their connections while the request was made; each with its leg, oldest first. */
function packetsOf({ result, main, evidence, table }: CaseSources, legs: readonly Leg[]): [number, number][] {
  const legOf = new Map<string, number>()
  const found = new Map<PacketObservation, string>()
  const cite = (hop: CaseResult['checks'][number], leg: number) => {
    for (const ref of hop.proofs.filter((p) => p.kind !== 'marker').flatMap((p) => p.refs.slice(0, CITED))) {
      const p = table.observation(ref)
      if (p?.kind !== 'packet') continue
      const place = placeOf(p)
      found.set(p, place)
      // A hop may rest on packets of other places too, from which its ports are known.
      const here = leg >= 0 && `${p.node}/${p.netns}/${p.dev}/`.startsWith(`${hop.vantage}/`)
      if (here || !legOf.has(place)) legOf.set(place, here ? leg : -1)
    }
  }
  for (const [l] of legs.entries()) for (const hop of result.legs[l]?.hops ?? []) cite(hop, l)
  for (const check of result.checks) cite(check, -1)
  const netns = new Map([...found.keys()].map((p) => [`${p.node}/${p.netns}`, p]))
  for (const where of main ? netns.values() : []) {
    for (const p of evidence.in('packet', where, main!.window)) {
      const place = placeOf(p)
      if (legOf.has(place)) found.set(p, place)
    }
  }
  return [...found].sort(([a], [b]) => a.t - b.t).map(([p, place]) => [table.packet(p), legOf.get(place)!])
}
