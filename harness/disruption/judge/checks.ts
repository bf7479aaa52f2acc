import { hopVerdict } from '../../judge/checks.ts'
import type { Evidence } from '../../judge/evidence.ts'
import { contradicted, missing, proven } from '../../judge/proof.ts'
import type { HopVerdict, ProofVerdict } from '../../judge/verdict.ts'
import type { DisruptionExpectation } from '../expectation.ts'
import { type AccountedRequest, type Fate, lateAfter } from './accounting.ts'
import { bothEnrolled, readings } from './enrolled.ts'
import type { LoadRecord } from './load-record.ts'

/** References of one kind that a proof shows; all others of its kind are as bad or as good. */
const shown = 20

const check = (id: string, title: string, proofs: readonly ProofVerdict[]): HopVerdict => ({
  id: `load/${id}`,
  title,
  vantage: '',
  verdict: hopVerdict(proofs),
  proofs,
})

/** What both ends told of requests. */
export const refsOf = (requests: readonly AccountedRequest[]) =>
  requests.flatMap((r) => [...(r.answer ? [r.answer.ref] : []), ...r.served.map((s) => s.ref)])

/** Every number has its line, and every answer its server. */
export function accountedCheck(e: DisruptionExpectation, { account, end }: LoadRecord): HopVerdict {
  const { requests, contradictions, totals } = account
  const sums = Object.entries(totals)
    .map(([fate, n]) => `${n} ${fate}`)
    .join(', ')
  const untold = requests.filter((r) => !r.answer)
  const words = `each of ${requests.length} requests has one fate (${sums}; late: more than ${lateAfter} ms)`
  return check('accounted', 'every request is accounted for', [
    end
      ? proven('load', `the client told how many requests it made: ${end.sent}`, [end.ref])
      : missing('load', 'the client told how many requests it made'),
    contradictions.length > 0 || untold.length > 0
      ? missing(
          'load',
          `${words}; but ${[...contradictions, ...untold.map((r) => `nothing was told of request ${r.seq}`)].slice(0, 3).join('; ')}`,
          'aggregate',
        )
      : proven('load', words, refsOf(requests), 'aggregate'),
    requests.length >= e.least
      ? proven('load', `there were at least ${e.least} requests`, end ? [end.ref] : [], 'aggregate')
      : missing('load', `there were at least ${e.least} requests, not ${requests.length}`, 'aggregate'),
  ])
}

/** No more lost than may be, none served twice. */
export function lossChecks(e: DisruptionExpectation, { account, end }: LoadRecord): HopVerdict[] {
  // Of whom nothing was told is not lost for that: it is not accounted for.
  const of = (...fates: Fate[]) => account.requests.filter((r) => r.answer && fates.includes(r.fate))
  const lost = of('lost', 'reset')
  const twice = of('duplicated')
  const most = e.mayBeLost ?? 0
  const expected = most === 0 ? 'no request is lost or reset' : `at most ${most} requests are lost or reset`
  const told = lost.map((r) => `${r.seq} ${r.answer?.error ?? 'not told'}`)
  return [
    check('lost', expected, [
      lost.length > most
        ? contradicted(
            'load',
            expected,
            `${lost.length} of ${account.requests.length}: ${told.slice(0, 8).join(', ')}`,
            refsOf(lost.slice(0, shown)),
            'aggregate',
          )
        : proven('load', `${expected}: ${lost.length}`, [...refsOf(lost), ...(end ? [end.ref] : [])], 'aggregate'),
    ]),
    check('duplicated', 'no request is served twice', [
      twice.length > 0
        ? contradicted(
            'load',
            'no request is served twice',
            `${twice.length}: ${twice
              .slice(0, 8)
              .map((r) => r.seq)
              .join(', ')}`,
            refsOf(twice.slice(0, shown)),
            'aggregate',
          )
        : proven('load', 'no request is served twice', [], 'aggregate'),
    ]),
  ]
}

/** Nothing readable on its way while both ends are annotated enrolled. */
export function readableCheck(e: DisruptionExpectation, load: LoadRecord, evidence: Evidence): HopVerdict {
  const { times, events } = bothEnrolled(evidence, e.client, e.server)
  const during = times.filter((t) => t.to > load.window.from && t.from < load.window.to)
  // A time that began before the load has had its time to be told.
  const server = during.some((t) => t.by.netns === e.server.netns && t.from >= load.window.from) ? e.server.netns : undefined
  const { forbidden, untold, untoldFor, sealed } = readings(load.account.requests, during, server)
  const expected = 'no token is readable on its way while both ends are annotated enrolled'
  const both = 'both ends were annotated enrolled for a time of the load'
  const first = forbidden[0]
  const tokens = (sightings: typeof forbidden) => new Set(sightings.map((s) => s.token)).size
  const apart =
    untold.length === 0 ? '' : `; ${tokens(untold)} were, until the client's proxy had been told, within ${Math.round(untoldFor / 1000)} ms`
  const refs = events.map((x) => x.ref)
  return check('readable', 'nothing is readable while both ends are enrolled', [
    // Of established connections one end is outside the mesh all the time.
    ...(e.outcome !== undefined ? [] : [during.length > 0 ? proven('event', both, refs) : missing('event', both)]),
    first
      ? contradicted(
          'sighting',
          expected,
          `${tokens(forbidden)} were, the first at ${first.node}/${first.netns}/${first.dev}: ${first.token}`,
          forbidden.slice(0, shown).map((s) => s.ref),
        )
      : proven('sighting', `${expected}${apart}`, [...untold.map((s) => s.ref), ...sealed.map((a) => a.ref), ...refs]),
  ])
}

/** What became of connections that stood before. */
export function establishedCheck(e: DisruptionExpectation, { account }: LoadRecord, asked: number, done: number): HopVerdict {
  const byConnection = Map.groupBy(
    account.requests.filter((r) => r.answer?.connection !== undefined),
    (r) => r.answer!.connection!,
  )
  const words = { reset: 'is reset', hang: 'gets no answer any more', survives: 'goes on' } as const
  const expected = (n: number | string) => `connection ${n} ${words[e.outcome!]}`
  const proofs = [...byConnection].map(([n, requests]): ProofVerdict => {
    const before = requests.find((r) => r.answer!.ok && r.answer!.endedAt * 1000 < asked)
    const last = requests.at(-1)!
    if (!before) return missing('load', `${expected(n)}, having been served before`)
    // Broken at any time after it was asked for; going on only counts when all was done.
    if (last.answer!.ok && last.answer!.startedAt * 1000 < done) return missing('load', `${expected(n)}, and was used after`)
    const seen = outcomeSeen(last)
    return seen === e.outcome
      ? proven('load', expected(n), [before.answer!.ref, last.answer!.ref])
      : contradicted('load', expected(n), `it ${seen ? words[seen] : `ended with ${last.answer!.error}`}`, [last.answer!.ref])
  })
  return check(
    'established',
    `established connections: each ${words[e.outcome!]}`,
    proofs.length > 0 ? proofs : [missing('load', expected('0'))],
  )
}

function outcomeSeen({ answer }: AccountedRequest): DisruptionExpectation['outcome'] {
  if (answer?.ok) return 'survives'
  if (answer?.error === 'ETIMEDOUT') return 'hang'
  return answer?.error === 'ECONNRESET' || answer?.error === 'EPIPE' ? 'reset' : undefined
}
