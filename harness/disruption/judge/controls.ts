import type { EventObservation } from '../../evidence/observation.ts'
import { hopVerdict } from '../../judge/checks.ts'
import type { Evidence } from '../../judge/evidence.ts'
import { contradicted, missing, proven } from '../../judge/proof.ts'
import type { HopVerdict, ProofVerdict } from '../../judge/verdict.ts'
import type { DisruptionExpectation } from '../expectation.ts'
import { lateAfter } from './accounting.ts'
import { refsOf } from './checks.ts'
import { disturbanceOf, type LoadRecord, loadRecord } from './load-record.ts'

const check = (id: string, title: string, proofs: readonly ProofVerdict[]): HopVerdict => ({
  id: `load/${id}`,
  title,
  vantage: '',
  verdict: hopVerdict(proofs),
  proofs,
})

/** What was to be done to the mesh was done while the load ran, with requests before and after it. */
export function disturbedCheck(e: DisruptionExpectation, load: LoadRecord, evidence: Evidence): HopVerdict {
  const title = 'the mesh was disturbed while the load ran'
  const during = disturbanceOf(evidence, e.load)
  if (!during) return check('disturbed', title, [missing('event', 'the disturbance began and was done')])
  const { asked, done } = during
  const { requests } = load.account
  const before = requests.find((r) => r.answer?.ok && r.answer.endedAt * 1000 < asked.t)
  const after = requests.findLast((r) => (r.answer?.startedAt ?? 0) * 1000 > done.t)
  const events = evidence.all('event').filter((x) => x.t >= asked.t && x.t <= done.t)
  const told = (what: string, where: string, test: (x: EventObservation) => boolean): ProofVerdict => {
    const event = events.find((x) => x.what === what && test(x))
    return event ? proven('event', `${where}: ${what}`, [event.ref]) : missing('event', `${where}: ${what}`)
  }
  const subject = e.case.subject === 'client' ? e.client.netns : e.server.netns
  const ofSubject = (what: string) => told(what, subject, (x) => x.netns === subject)
  const proofs: Record<typeof e.case.disturbance, () => ProofVerdict[]> = {
    'label-off-and-on': () => [ofSubject('left'), outside(load, events, subject), ofSubject('enrolled')],
    leaving: () => [ofSubject('left')],
    enrolment: () => [ofSubject('enrolled')],
    'ztunnel-rollout': () => replaced(),
    'agent-restart': () => replaced(),
    'discovery-restart': () => replaced(),
  }
  const replaced = () => {
    const { name = '', nodes = [] } = e.replaced ?? {}
    // Between a Deployment and its pods is a ReplicaSet, named after it.
    const isOf = (x: EventObservation) => x.detail === name || x.detail?.startsWith(`${name}-`) === true
    const places: (string | undefined)[] = nodes.length > 0 ? nodes : [undefined]
    return places.flatMap((node) =>
      ['ready', 'deleting'].map((what) =>
        told(what, `${name}${node === undefined ? '' : ` on ${node}`}`, (x) => isOf(x) && (node === undefined || x.node === node)),
      ),
    )
  }
  return check('disturbed', title, [
    before ? proven('load', 'requests were served before it', [before.answer!.ref]) : missing('load', 'requests were served before it'),
    proven('event', 'it began', [asked.ref]),
    ...proofs[e.case.disturbance](),
    proven('event', 'it was done', [done.ref]),
    // Connections that have broken ask nothing any more.
    ...(e.outcome !== undefined && e.outcome !== 'survives'
      ? []
      : [
          after?.answer
            ? proven('load', 'requests were made after it', [after.answer.ref])
            : missing('load', 'requests were made after it'),
        ]),
  ])
}

/** While a pod was out of the mesh, what it was asked was readable: the label took effect. */
function outside({ account }: LoadRecord, events: readonly EventObservation[], subject: string): ProofVerdict {
  const expected = 'requests were readable while it was out of the mesh'
  const left = events.find((x) => x.netns === subject && x.what === 'left')?.t ?? Number.POSITIVE_INFINITY
  const back = events.find((x) => x.netns === subject && x.what === 'enrolled' && x.t > left)?.t ?? 0
  const readable = account.requests.flatMap((r) => r.readable.filter((s) => s.t > left && s.t < back)).slice(0, 3)
  return readable.length > 0
    ? proven(
        'sighting',
        expected,
        readable.map((s) => s.ref),
      )
    : missing('sighting', expected)
}

/** The streams of the pods concerned were alive around the load and lost nothing, and the search found each token where it has to be in clear: in the server's own pod. */
export function streamsCheck(e: DisruptionExpectation, load: LoadRecord, evidence: Evidence): HopVerdict {
  const places = [e.client, e.server].flatMap(({ node, netns }) => [
    { node, netns },
    { node, netns: 'node' },
  ])
  const alive = load.markers.flatMap(({ id }) =>
    places.map(({ node, netns }): ProofVerdict => {
      const expected = `marker ${id} in the packets of ${node}/${netns}`
      const seen = evidence
        .in('marker', { node, netns }, { from: 0, to: Number.POSITIVE_INFINITY })
        .find((m) => m.id === id && m.stream === 'packets')
      return seen ? proven('marker', expected, [seen.ref]) : missing('marker', expected)
    }),
  )
  const lost = evidence
    .all('loss')
    .filter(
      (l) =>
        l.stream === 'packets' && l.lost > 0 && l.t >= load.window.from && places.some((p) => p.node === l.node && p.netns === l.netns),
    )
  const lossless = 'no packet of these pods and nodes was lost'
  return check('streams', 'streams were alive', [
    load.markers.length >= 2
      ? proven(
          'marker',
          'there were markers around the load',
          load.markers.map((m) => m.ref),
        )
      : missing('marker', 'there were markers around the load'),
    ...alive,
    lost[0] ? contradicted('loss', lossless, `${lost[0].netns} lost ${lost[0].lost}`, [lost[0].ref]) : proven('loss', lossless, []),
    searchProof(load, e.server),
  ])
}

function searchProof({ account }: LoadRecord, server: DisruptionExpectation['server']): ProofVerdict {
  const served = account.requests.filter((r) => r.served.length > 0)
  const at = (r: (typeof served)[number]) => r.seen.find((s) => s.node === server.node && s.netns === server.netns)
  const unseen = served.filter((r) => !at(r))
  const expected = `the search found each token that the server has, in its pod: ${served.length}`
  return unseen.length > 0 || served.length === 0
    ? missing(
        'sighting',
        `${expected}; not ${unseen
          .slice(0, 5)
          .map((r) => r.seq)
          .join(', ')}`,
        'aggregate',
      )
    : proven(
        'sighting',
        expected,
        served.flatMap((r) => [at(r)!.ref, ...r.served.map((line) => line.ref)]),
        'aggregate',
      )
}

/**
 * Whether the accounting can be believed at all. Positive: the same load with nothing done to the mesh loses nothing; a load between pods outside the mesh is readable everywhere.
 * Negative: with the server's port closed for a while, just that is accounted as lost.
 */
export function controlChecks(e: DisruptionExpectation, evidence: Evidence): HopVerdict[] {
  return [
    check('positive', 'positive control', [quiet(evidence, e), plain(evidence, e)]),
    check('negative', 'negative control', [closed(evidence, e)]),
  ]
}

function quiet(evidence: Evidence, e: DisruptionExpectation): ProofVerdict {
  const expected = 'the same load undisturbed is delivered, all of it, once, and in time'
  const load = loadRecord(evidence, e.controls.quiet)
  if (!load?.end || load.account.requests.length === 0) return missing('control', expected)
  const { requests, totals, contradictions } = load.account
  // On a machine that is so busy, requests last longer than the mesh waits for what is under way.
  const late = totals.late > 0 ? [`${totals.late} took longer than ${lateAfter} ms: this machine is too busy to tell`] : []
  const wrong = totals.lost + totals.reset + totals.duplicated + totals.late
  const seen = [`${wrong} of ${requests.length} were not`, ...late, ...contradictions.slice(0, 2)].join('; ')
  return wrong > 0 || contradictions.length > 0
    ? contradicted('control', expected, seen, [load.end.ref])
    : proven('control', expected, [load.end.ref, load.begins.ref, ...refsOf(requests)])
}

function plain(evidence: Evidence, e: DisruptionExpectation): ProofVerdict {
  const expected = 'a load between pods outside the mesh is readable on its way, all of it'
  const load = loadRecord(evidence, e.controls.plain)
  if (!load?.end || load.account.requests.length === 0) return missing('control', expected)
  const unread = load.account.requests.filter((r) => r.readable.length === 0)
  return unread.length > 0
    ? contradicted('control', expected, `${unread.length} of ${load.account.requests.length} were seen nowhere`, [load.end.ref])
    : proven('control', expected, [load.end.ref, load.begins.ref, ...load.account.requests.flatMap((r) => r.readable.map((x) => x.ref))])
}

function closed(evidence: Evidence, e: DisruptionExpectation): ProofVerdict {
  const expected = 'with the server closed in the middle, requests are accounted as lost: those, and no others'
  const load = loadRecord(evidence, e.controls.closed)
  const during = disturbanceOf(evidence, e.controls.closed)
  if (!load?.end || !during) return missing('control', expected)
  const { requests } = load.account
  const lost = requests.filter((r) => r.fate === 'lost' || r.fate === 'reset')
  const between = (r: (typeof requests)[number]) =>
    r.answer !== undefined && r.answer.endedAt * 1000 >= during.asked.t && r.answer.startedAt * 1000 <= during.done.t
  const strays = lost.filter((r) => !between(r))
  return lost.length === 0 || strays.length > 0
    ? contradicted('control', expected, `${lost.length} lost, ${strays.length} of them at other times`, [load.end.ref])
    : proven('control', expected, [load.end.ref, load.begins.ref, during.asked.ref, during.done.ref, ...refsOf(requests)])
}
