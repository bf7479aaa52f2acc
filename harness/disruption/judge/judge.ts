import type { Evidence } from '../../judge/evidence.ts'
import type { CaseVerdict, HopVerdict } from '../../judge/verdict.ts'
import type { DisruptionRecord } from '../expectation.ts'
import { accountedCheck, establishedCheck, lossChecks, readableCheck } from './checks.ts'
import { controlChecks, disturbedCheck, streamsCheck } from './controls.ts'
import { disturbanceOf, loadRecord } from './load-record.ts'

/**
 * Judges one disruption from its expectation and the evidence of the whole run. Pure: the same input gives the same verdict. More lost than may be, a request served twice, a token that is readable where none
 * may be, or connections that end otherwise than the table says, fail it; evidence or controls that cannot be believed make it inconclusive.
 */
export function judgeDisruption(e: DisruptionRecord, evidence: Evidence): CaseVerdict {
  const { id, mode } = e.case
  const nothing = { id, mode, durationMs: 0, legs: [], checks: [] } as const
  if ('unsupported' in e) return { ...nothing, verdict: 'unsupported', reason: e.unsupported }
  const load = loadRecord(evidence, e.load)
  if (!load) return { ...nothing, verdict: 'inconclusive', reason: 'its load was not begun before the run ended' }
  const streams = streamsCheck(e, load, evidence)
  const controls = controlChecks(e, evidence)
  const disturbed = disturbedCheck(e, load, evidence)
  const accounted = accountedCheck(e, load)
  const during = disturbanceOf(evidence, e.load)
  const claims =
    e.outcome === undefined
      ? [...lossChecks(e, load), readableCheck(e, load, evidence)]
      : [
          establishedCheck(e, load, during?.asked.t ?? Number.POSITIVE_INFINITY, during?.done.t ?? Number.POSITIVE_INFINITY),
          readableCheck(e, load, evidence),
        ]
  const checks = [accounted, ...claims, disturbed, streams, ...controls]
  const durationMs = load.end ? Math.round(load.end.endedAt - load.end.startedAt) : 0
  const base = { id, mode, durationMs, legs: [], checks }

  // A connection whose last line is missing would seem to go on.
  const relied = e.outcome === undefined ? [] : [accounted]
  const blind = [streams, ...controls, ...relied].find((c) => c.verdict !== 'pass')
  if (blind) return { ...base, verdict: 'inconclusive', reason: words(blind) }
  const broken = claims.find((c) => c.verdict === 'fail')
  if (broken) return { ...base, verdict: 'fail', brokenHop: broken.id, reason: words(broken) }
  const open = checks.find((c) => c.verdict !== 'pass')
  return open ? { ...base, verdict: 'inconclusive', reason: words(open) } : { ...base, verdict: 'pass' }
}

function words(check: HopVerdict): string {
  const proof = check.proofs.find((p) => p.status === 'contradicted') ?? check.proofs.find((p) => p.status === 'missing')!
  return `${check.title}: expected ${proof.expected}; ${proof.status === 'contradicted' ? `seen: ${proof.seen}` : 'not seen'}`
}
