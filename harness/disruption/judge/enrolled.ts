import type { EventObservation } from '../../evidence/observation.ts'
import type { Evidence } from '../../judge/evidence.ts'
import type { DisruptionPlace } from '../expectation.ts'
import type { AccountedRequest, AnswerLine, SightingLine } from './accounting.ts'

/** A time in which both ends of a load were annotated enrolled, as the API told it, microseconds. */
export interface BothEnrolled {
  readonly from: number
  readonly to: number
  /** The annotation that began it. */
  readonly by: EventObservation
}

/** After a server was annotated, its clients' proxies have to be told by the control plane: this long at most, microseconds. */
export const toldWithin = 2_000_000

/** The times in which both were enrolled, oldest first, and the annotations that tell so. */
export function bothEnrolled(
  evidence: Evidence,
  client: DisruptionPlace,
  server: DisruptionPlace,
): { times: BothEnrolled[]; events: readonly EventObservation[] } {
  const events = evidence
    .all('event')
    .filter((e) => e.what === 'enrolled' || e.what === 'left')
    .filter((e) => e.netns === client.netns || e.netns === server.netns)
  const state = new Map<string, boolean>()
  const found: BothEnrolled[] = []
  let open: EventObservation | undefined
  for (const event of events) {
    state.set(event.netns, event.what === 'enrolled')
    const both = state.get(client.netns) === true && state.get(server.netns) === true
    if (both) open ??= event
    else if (open) {
      found.push({ from: open.t, to: event.t, by: open })
      open = undefined
    }
  }
  if (open) found.push({ from: open.t, to: Number.POSITIVE_INFINITY, by: open })
  return { times: found, events }
}

export interface Readings {
  /** Readable where nothing may be. */
  readonly forbidden: readonly SightingLine[]
  /** Readable after the server was annotated, before the client's proxy could know of it. */
  readonly untold: readonly SightingLine[]
  /** How long that was, microseconds. */
  readonly untoldFor: number
  /** The first requests that went sealed, which tell that it did know. */
  readonly sealed: readonly AnswerLine[]
}

/**
 * Which sightings break the promise that nothing is readable while both ends are annotated enrolled. When a server has just been annotated, the annotation is what its clients' proxies are told by:
 * until the first request that went sealed, and no longer than `toldWithin`, what is readable is counted apart. Requests are compared by their begin: a proxy decides when it takes a connection.
 * @param told by whom a time in which both are enrolled may begin so: the server; undefined: nobody
 */
export function readings(requests: readonly AccountedRequest[], enrolled: readonly BothEnrolled[], told: string | undefined): Readings {
  const forbidden: SightingLine[] = []
  const untold: SightingLine[] = []
  let untoldFor = 0
  const firsts: AnswerLine[] = []
  for (const time of enrolled) {
    const within = (t: number) => t >= time.from && t < time.to
    const mayWait = time.by.netns === told
    const [first] = requests
      .filter((r) => mayWait && r.answer?.ok && r.readable.length === 0 && within(r.answer.startedAt * 1000))
      .map((r) => r.answer!)
      .toSorted((a, b) => a.startedAt - b.startedAt)
    if (first) firsts.push(first)
    const known = Math.min(time.from + toldWithin, (first?.startedAt ?? Number.POSITIVE_INFINITY) * 1000)
    for (const request of requests) {
      for (const sighting of request.readable.filter((s) => within(s.t))) {
        const begun = (request.answer?.startedAt ?? 0) * 1000
        if (mayWait && begun < known && sighting.t < time.from + toldWithin) {
          untold.push(sighting)
          untoldFor = Math.max(untoldFor, sighting.t - time.from)
        } else forbidden.push(sighting)
      }
    }
  }
  return { forbidden, untold, untoldFor, sealed: firsts }
}
