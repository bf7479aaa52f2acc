import type { EventObservation, LoadEndObservation } from '../../evidence/observation.ts'
import type { Evidence, Window } from '../../judge/evidence.ts'
import { type Account, account } from './accounting.ts'

/** A load, put together from all that the evidence has of it. */
export interface LoadRecord {
  readonly account: Account
  readonly end: LoadEndObservation | undefined
  readonly begins: EventObservation
  /** From its begin to its end on the timeline, microseconds. */
  readonly window: Window
  /** Token prefix. */
  readonly mark: string
  /** The markers around it: their ids, and where it is told. */
  readonly markers: readonly { readonly id: string; readonly ref: string }[]
}

/** undefined: it was not begun. */
export function loadRecord(evidence: Evidence, load: string): LoadRecord | undefined {
  const events = evidence.all('event')
  const begins = events.find((e) => e.what === 'load-begins' && e.detail?.split(' ')[0] === load)
  if (!begins) return undefined
  const mark = begins.detail?.split(' ')[1] ?? ''
  const to = events.find((e) => e.what === 'load-ends' && e.detail === load)?.t ?? Number.POSITIVE_INFINITY
  const window = { from: begins.t, to }
  const end = evidence.all('load-end').find((e) => e.load === load)
  const marked = (text: string) => text.includes(`${mark}.`)
  return {
    begins,
    end,
    window,
    mark,
    markers: events
      .filter((e) => e.what === 'marker' && e.detail?.split(' ')[0] === load)
      .map((e) => ({ id: e.detail!.split(' ')[1]!, ref: e.ref })),
    account: account(
      end?.sent,
      evidence.all('load-answer').filter((a) => a.load === load),
      evidence.all('served').filter((s) => marked(s.body)),
      evidence.all('sighting').filter((s) => marked(s.token)),
    ),
  }
}

/** What the harness did while a load ran, microseconds: when it was asked for, and when the API showed that it was done. */
export function disturbanceOf(evidence: Evidence, load: string): { asked: EventObservation; done: EventObservation } | undefined {
  const find = (what: string) => evidence.all('event').find((e) => e.what === what && e.detail === load)
  const asked = find('asked')
  const done = find('done')
  return asked && done ? { asked, done } : undefined
}
