import type { LoadRequest, ReportLoad } from '../../reports/html/report.ts'
import type { DisruptionExpectation } from '../disruption/expectation.ts'
import { bothEnrolled } from '../disruption/judge/enrolled.ts'
import { loadRecord } from '../disruption/judge/load-record.ts'
import type { Evidence } from '../judge/evidence.ts'

/** What happened to the mesh, as a reader would say it; anything else of the timeline is not shown. */
const words: Readonly<Record<string, string>> = {
  asked: 'asked for',
  done: 'done',
  enrolled: 'enrolled',
  left: 'left the mesh',
  ready: 'ready',
  unready: 'not ready',
  deleting: 'ending',
  gone: 'gone',
}

/** A load as a picture needs it: its requests, each with its fate, and what was done to the mesh meanwhile. @returns undefined when it was not begun */
export function loadOf(e: DisruptionExpectation, evidence: Evidence): ReportLoad | undefined {
  const load = loadRecord(evidence, e.load)
  if (!load) return undefined
  const { from } = load.window
  const last = Math.max(from, ...load.account.requests.map((r) => (r.answer?.endedAt ?? 0) * 1000))
  const to = Number.isFinite(load.window.to) ? load.window.to : last
  const ms = (t: number) => Math.round((t - from) / 100) / 10
  // Of whom nothing was told nobody knows when it was made.
  const requests = load.account.requests.flatMap(({ answer, fate, readable }): LoadRequest[] =>
    answer
      ? [
          {
            at: ms(answer.startedAt * 1000),
            took: Math.round((answer.endedAt - answer.startedAt) * 10) / 10,
            fate,
            readable: readable.length > 0,
          },
        ]
      : [],
  )
  const events = evidence
    .all('event')
    .filter((o) => o.t >= from && o.t <= to && words[o.what] !== undefined)
    // Of the harness itself only what it did for this load.
    .filter((o) => o.netns !== '' || o.detail === e.load)
    .map((o) => ({ at: ms(o.t), netns: o.netns, what: words[o.what]! }))
  const { times } = bothEnrolled(evidence, e.client, e.server)
  const sealed = times.filter((t) => t.to > from && t.from < to).map((t) => [ms(Math.max(t.from, from)), ms(Math.min(t.to, to))] as const)
  const [client, server] = [e.client, e.server].map(({ node, netns }) => ({ node, netns })) as [ReportLoad['client'], ReportLoad['server']]
  return { client, server, lasted: ms(to), requests, events, sealed }
}
