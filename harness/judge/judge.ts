import type { Attempt } from '../traffic/attempt.ts'
import { bind } from './bind.ts'
import { bytesCheck, hopVerdict, noSecondOpeningCheck, outcomeCheck, sentinelCheck } from './checks.ts'
import { closedWorldCheck } from './closed-world.ts'
import { controlChecks } from './controls.ts'
import type { Evidence } from './evidence.ts'
import type { Expectation } from './expectation.ts'
import { causalOrder } from './order.ts'
import type { Scene } from './proof.ts'
import { prove } from './prove.ts'
import type { CaseVerdict, HopVerdict, LegVerdict, ProofVerdict } from './verdict.ts'

/**
 * Judges one case from its expectation, the attempts made for it and the evidence of the whole run. Pure: the same input gives the same verdict.
 * A contradiction or a request that ended otherwise than promised fails the case at the first hop of its path that is not proven;
 * streams that were not alive, a control that failed, or a proof that is missing while all else fits, make it inconclusive.
 */
export function judgeCase(expectation: Expectation, attempts: readonly Attempt[], evidence: Evidence): CaseVerdict {
  const { id, mode } = expectation.case
  const main = attempts.find((a) => a.role === 'main')
  const unjudged = (reason: string): CaseVerdict => ({ id, mode, verdict: 'inconclusive', reason, durationMs: 0, legs: [], checks: [] })
  if (!main) return unjudged('its request was not made before the run ended')
  // Of no hop everything is proven, and nothing is shown.
  if (expectation.path.legs.length === 0) return unjudged('no path is written down for it: nothing can be proven')
  const variables = bind(expectation.path, main, evidence)
  const legs = expectation.path.legs.map((leg): LegVerdict => {
    const scene: Scene = {
      evidence,
      variables,
      window: main.window,
      opening: leg.reused ? { from: 0, to: main.window.from } : main.window,
      token: main.token,
    }
    const hops = leg.hops.map((hop): HopVerdict => {
      const proofs = hop.proofs.map((p) => prove(p, scene))
      return { id: hop.id, title: hop.title, vantage: hop.vantage, verdict: hopVerdict(proofs), proofs }
    })
    return { id: leg.id, title: leg.title, row: leg.row, hops }
  })
  const outcome = outcomeCheck(expectation, main, evidence)
  const world = [
    sentinelCheck(
      expectation.path.legs.flatMap((l) => l.hops),
      main,
      evidence,
    ),
    // Before the closed world: a second tunnel is astray too, but this says what it is.
    noSecondOpeningCheck(expectation, variables, main, evidence),
    closedWorldCheck(expectation, variables, main, evidence),
    bytesCheck(expectation, main, evidence),
  ].filter((c) => c !== undefined)
  const controls = controlChecks(expectation, attempts, main, evidence)
  const checks = [outcome, ...world, ...controls]
  const durationMs = Math.round(main.result.endedAt - main.result.startedAt)
  const base = { id, mode, durationMs, legs, checks }

  const [streams, positive, negative] = controls as [HopVerdict, HopVerdict, HopVerdict]
  const hops = legs.flatMap((l) => l.hops)
  const blind = [streams, positive].find((c) => c.verdict !== 'pass')
  if (blind) return { ...base, verdict: 'inconclusive', reason: `${blind.title}: ${unproven(blind)}` }

  const wrong = [...hops, outcome, ...world].some((h) => h.verdict === 'fail')
  if (wrong) {
    const placed = legs.flatMap((leg, l) =>
      leg.hops.flatMap((hop, position) =>
        hop.proofs.map((verdict, i) => ({ proof: expectation.path.legs[l]!.hops[position]!.proofs[i]!, verdict, hop, leg: l, position })),
      ),
    )
    const inOrder = causalOrder(placed)
    const first = inOrder.findIndex((p) => p.verdict.status !== 'proven')
    const broken = inOrder[first]?.hop ?? [...world, outcome].find((h) => h.verdict === 'fail')!
    const proof = inOrder[first]?.verdict
    const likely =
      proof &&
      likelyCause(
        broken,
        inOrder.slice(0, first + 1).map((p) => p.verdict),
      )
    const reason = `${broken.title}: ${proof ? proofText(proof) : unproven(broken)}`
    return { ...base, verdict: 'fail', brokenHop: broken.id, reason, ...(likely ? { likely } : {}) }
  }
  const open = [...hops, outcome, ...world, negative].find((h) => h.verdict !== 'pass')
  return open ? { ...base, verdict: 'inconclusive', reason: `${open.title}: ${unproven(open)}` } : { ...base, verdict: 'pass' }
}

function unproven(hop: HopVerdict): string {
  return proofText(hop.proofs.find((p) => p.status === 'contradicted') ?? hop.proofs.find((p) => p.status === 'missing')!)
}

const proofText = (p: ProofVerdict) =>
  p.status === 'contradicted' ? `expected ${p.expected}; seen: ${p.seen}` : `expected ${p.expected}; not seen`

/** The rule or route of the broken hop that is not as it must be, or else the last rule before it that decides where packets go. */
function likelyCause(broken: HopVerdict, upToBroken: readonly ProofVerdict[]): string | undefined {
  const own = broken.proofs.find((p) => (p.kind === 'trace' || p.kind === 'route') && p.status !== 'proven')
  if (own) return own.expected
  return upToBroken.findLast((p) => p.kind === 'trace')?.expected
}
