import type { Disruption } from './cells.ts'

/** What becomes of a connection that stood before: its next request is reset, gets no answer, or is served as before. */
export type Outcome = 'reset' | 'hang' | 'survives'

interface Row {
  readonly release: string
  readonly disturbance: 'enrolment' | 'leaving'
  /** `server`: the pod that is enrolled or leaves serves the connection (inbound); `client`: it began it (outbound). */
  readonly subject: 'server' | 'client'
  readonly outcome: Outcome
}

/** Facts: inpod-mode 1.7, column REDIRECT for `today` and TPROXY for `1.21`; geneve-mode 1.8, 1.9 and 6.2 row M6 for `1.20`. */
const table: readonly Row[] = [
  { release: 'today', disturbance: 'enrolment', subject: 'server', outcome: 'reset' },
  { release: 'today', disturbance: 'enrolment', subject: 'client', outcome: 'reset' },
  { release: 'today', disturbance: 'leaving', subject: 'server', outcome: 'reset' },
  { release: 'today', disturbance: 'leaving', subject: 'client', outcome: 'reset' },
  { release: '1.21', disturbance: 'enrolment', subject: 'server', outcome: 'hang' },
  { release: '1.21', disturbance: 'enrolment', subject: 'client', outcome: 'reset' },
  { release: '1.21', disturbance: 'leaving', subject: 'server', outcome: 'survives' },
  { release: '1.21', disturbance: 'leaving', subject: 'client', outcome: 'reset' },
  { release: '1.20', disturbance: 'enrolment', subject: 'server', outcome: 'reset' },
  { release: '1.20', disturbance: 'enrolment', subject: 'client', outcome: 'reset' },
  { release: '1.20', disturbance: 'leaving', subject: 'server', outcome: 'survives' },
  { release: '1.20', disturbance: 'leaving', subject: 'client', outcome: 'survives' },
]

/** What must become of the connections of a cell; undefined: its requests are on new ones. @throws RangeError for a release that no row tells of */
export function outcomeOf({ release, disturbance, subject, connections }: Disruption): Outcome | undefined {
  if (connections === 'new') return undefined
  const row = table.find((r) => r.release === release && r.disturbance === disturbance && r.subject === subject)
  if (!row) throw new RangeError(`what becomes of connections at ${disturbance} in release ${release} is not in the table`)
  return row.outcome
}

/** How many of a load's requests may be lost or reset. Facts: upstream's own parts lose 0 of 500 at a roll-out of ztunnel and 2 of 500 when a label goes off and on. */
export const mayBeLost = ({ disturbance }: Disruption): number => (disturbance === 'label-off-and-on' ? 2 : 0)
