import type { Attempt } from '../traffic/attempt.ts'
import { check, errorText, isResolved } from './checks.ts'
import type { Evidence } from './evidence.ts'
import type { Expectation } from './expectation.ts'
import { contradicted, missing, proven } from './proof.ts'
import type { HopVerdict, ProofVerdict } from './verdict.ts'

/** What the kernel counts of each namespace. */
const counted = ['packets', 'traces', 'conntrack', 'sockets'] as const

/** Windows are told in whole milliseconds, cut off; observations in microseconds. */
const windowStep = 1000

/** That nothing was lost is told by counters, which the marker after the request has asked: none of them is no zero, and a later one tells of a later time. */
function losslessStreams(places: ReadonlyMap<string, unknown>, { window }: Attempt, evidence: Evidence): ProofVerdict[] {
  const since = evidence.all('loss').filter((l) => l.t >= window.from && places.has(`${l.node}/${l.netns}`))
  const lost = since.find((l) => l.lost > 0)
  if (lost) return [contradicted('loss', 'no stream lost anything', `${lost.stream} of ${lost.netns} lost ${lost.lost}`, [lost.ref])]
  const asked = since.filter(({ t }) => t >= window.from + windowStep && t <= window.to + windowStep)
  const counts = [...places.keys()].flatMap((place) =>
    counted.map((stream) => ({ place, stream, count: asked.find((l) => l.stream === stream && `${l.node}/${l.netns}` === place) })),
  )
  const uncounted = counts.find(({ count }) => !count)
  if (uncounted) return [missing('loss', `a count of what the ${uncounted.stream} of ${uncounted.place} lost`)]
  return [
    proven(
      'loss',
      'no stream lost anything',
      counts.flatMap(({ count }) => count?.ref ?? []),
    ),
  ]
}

/** The controls: streams alive and lossless around the request, an unmeshed request served, the request without its condition ended otherwise. */
export function controlChecks(expectation: Expectation, attempts: readonly Attempt[], main: Attempt, evidence: Evidence): HopVerdict[] {
  const places = new Map(
    expectation.path.legs
      .flatMap((l) => l.hops.flatMap((h) => h.proofs))
      .map((p) => [`${p.node}/${p.netns}`, { node: p.node, netns: p.netns }]),
  )
  const alive = [...places].flatMap(([name, place]) =>
    [main.markers.before, main.markers.after].flatMap((id) =>
      (['packets', 'traces'] as const).map((stream): ProofVerdict => {
        const expected = `marker ${id} in the ${stream} of ${name}`
        const seen = evidence
          .all('marker')
          .find((m) => m.id === id && m.stream === stream && m.node === place.node && m.netns === place.netns)
        return seen ? proven('marker', expected, [seen.ref]) : missing('marker', expected)
      }),
    ),
  )
  const lossless = losslessStreams(places, main, evidence)
  const resolves = expectation.path.outcome === 'resolved'
  const servedIn = (a: Attempt) => evidence.in('served', undefined, a.window).find((s) => s.body.includes(a.token))
  const positive = (['positive', ...(expectation.path.legs.some((l) => l.reused) ? (['opening'] as const) : [])] as const).map((role) => {
    const expected = role === 'positive' ? 'an unmeshed request on the same nodes is served' : 'the request that opens the tunnel is served'
    const attempt = attempts.find((a) => a.role === role)
    if (!attempt) return missing('control', expected)
    const served = servedIn(attempt)
    // A name server keeps no log: the client's word is all there is.
    if (resolves)
      return isResolved(expectation, attempt) ? proven('control', expected, []) : contradicted('control', expected, errorText(attempt), [])
    return attempt.result.ok && attempt.result.echoed && served
      ? proven('control', expected, [served.ref])
      : contradicted('control', expected, errorText(attempt), [])
  })
  const negative = attempts.find((a) => a.role === 'negative')
  const flipped = resolves || expectation.path.outcome === 'served' ? 'is refused' : 'is served'
  const expected = `without "${expectation.decisive}" the request ${flipped}`
  let other: ProofVerdict
  if (!negative) other = missing('control', expected)
  else {
    const served = servedIn(negative)
    const ended =
      resolves && negative.result.ok
        ? 'is answered'
        : negative.result.ok && negative.result.echoed && served
          ? 'is served'
          : served
            ? 'is served, but not answered'
            : 'is refused'
    other =
      ended === flipped
        ? proven('control', expected, served ? [served.ref] : [])
        : contradicted('control', expected, `it ${ended}`, served ? [served.ref] : [])
  }
  return [
    check('streams', 'streams were alive', [...alive, ...lossless]),
    check('positive', 'positive control', positive),
    check('negative', 'negative control', [other]),
  ]
}
