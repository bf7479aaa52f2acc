import type { PacketObservation } from '../evidence/observation.ts'
import type { Device, Hop, Outcome } from '../modes/path.ts'
import type { Attempt } from '../traffic/attempt.ts'
import { fillFlow, type Variables } from './bind.ts'
import type { Evidence } from './evidence.ts'
import type { Expectation } from './expectation.ts'
import { contradicted, missing, proven } from './proof.ts'
import type { HopVerdict, ProofVerdict } from './verdict.ts'

/** What holds for a case as a whole. Each check is a hop of its own, so that it carries proofs and references like any other. */
export function outcomeCheck(expectation: Expectation, attempt: Attempt, evidence: Evidence): HopVerdict {
  const { outcome } = expectation.path
  const served = evidence.in('served', undefined, attempt.window).filter((s) => s.body.includes(attempt.token))
  const answered = attempt.result.ok && attempt.result.echoed
  const words = answered ? 'the client got its token back' : `the client got ${errorText(attempt)}`
  const seen = served[0] ? proven('outcome', 'the server sees the token', [served[0].ref]) : missing('outcome', 'the server sees the token')
  const unseen = served[0]
    ? contradicted('outcome', 'no server sees the token', `${served[0].netns} served it`, [served[0].ref])
    : proven('outcome', 'no server sees the token', [])
  const title = outcome === 'served' || outcome === 'resolved' ? 'is served' : outcome === 'cut-off' ? 'is cut off' : 'is refused'
  const proofs =
    outcome === 'resolved'
      ? [resolvedProof(expectation, attempt)]
      : outcome === 'served'
        ? [
            answered
              ? proven('outcome', 'the client gets its token back', [])
              : contradicted('outcome', 'the client gets its token back', words, []),
            seen,
          ]
        : [
            refusedAs(outcome, attempt) ? proven('outcome', refusals(outcome), []) : contradicted('outcome', refusals(outcome), words, []),
            outcome === 'cut-off' ? seen : unseen,
          ]
  return check('outcome', title, proofs)
}

/** The client's own word: who answered, and with which addresses. */
function resolvedProof(expectation: Expectation, attempt: Attempt): ProofVerdict {
  const { answer } = attempt.result
  const expected = `${expectation.endpoint} answers ${expectation.name} with ${expectation.addresses?.join(', ')}`
  if (isResolved(expectation, attempt)) return proven('outcome', expected, [])
  const words = answer ? `${answer.from} answered ${answer.code} ${answer.addresses.join(', ')}` : errorText(attempt)
  return contradicted('outcome', expected, words, [])
}

export function isResolved({ endpoint, addresses = [] }: Expectation, { result: { ok, answer } }: Attempt): boolean {
  return ok && answer?.from === endpoint && answer.addresses.join() === addresses.toSorted().join()
}

type Refusal = Exclude<Outcome, 'served' | 'resolved'>

const refusals = (outcome: Refusal) =>
  outcome === 'refused'
    ? 'the client is refused'
    : outcome === 'closed' || outcome === 'cut-off'
      ? 'the client gets a connection that is closed without an answer'
      : `the client gets its CONNECT ${outcome}`

function refusedAs(outcome: Refusal, { result: { ok, echoed, error } }: Attempt): boolean {
  if (ok && echoed) return false
  if (outcome === 'refused') return true
  if (outcome === 'closed' || outcome === 'cut-off')
    return (error?.phase === 'request' && !error.code.startsWith('HTTP_') && error.code !== 'ETIMEDOUT') || error?.code === 'EHBONE'
  return error?.code === outcome.replace('answered ', 'HBONE_')
}

export const errorText = (attempt: Attempt) =>
  attempt.result.error
    ? `${attempt.result.error.code} (${attempt.result.error.phase})`
    : `an answer without the token${attempt.result.status ? `, status ${attempt.result.status}` : ''}`

/** The sentinel: outside the rows that the path calls clear, no packet at any vantage point carries the token. */
export function sentinelCheck(hops: readonly Hop[], attempt: Attempt, evidence: Evidence): HopVerdict {
  const clear = new Set(
    hops.flatMap((h) => h.proofs.filter((p) => p.kind === 'token' && p.row === 'clear').map((p) => deviceKey(p as unknown as Device))),
  )
  // A path that proves the token on one side of a device pair reads the same packets on its way: rows of clear legs list each device.
  const leaks = evidence.in('packet', undefined, attempt.window).filter((p) => !clear.has(deviceKey(p)) && carries(p, attempt.token))
  const expected = `the token is readable at no other vantage point than ${[...clear].join(', ') || 'none'}`
  return check('sentinel', 'leaks nowhere', [
    leaks[0]
      ? contradicted(
          'token',
          expected,
          `readable at ${deviceKey(leaks[0])}: ${leaks[0].from} → ${leaks[0].to}`,
          leaks.map((p) => p.ref),
        )
      : proven('token', expected, []),
  ])
}

const carries = (p: PacketObservation, token: string) =>
  p.payload.length > 0 && Buffer.from(p.payload.buffer, p.payload.byteOffset, p.payload.length).includes(token)
export const deviceKey = (d: Device) => `${d.node}/${d.netns}/${d.dev}`

/** Of many bytes: what the client sent is what the server got, and what the client got is what it had sent, by digest. */
export function bytesCheck(expectation: Expectation, { token, result, window }: Attempt, evidence: Evidence): HopVerdict | undefined {
  if (expectation.case.exchange !== 'bulk') return undefined
  const served = evidence.in('served', undefined, window).find((s) => s.body.includes(token))
  const text = (d: Digested) => `${d.bytes} bytes, SHA-256 ${d.sha256}`
  const same = (expected: string, seen: Digested | undefined, refs: readonly string[]) => {
    const { sent } = result
    if (!sent || seen?.sha256 === undefined) return missing('digest', expected)
    return text(sent) === text(seen)
      ? proven('digest', expected, refs)
      : contradicted('digest', `${expected}: ${text(sent)}`, text(seen), refs)
  }
  return check('bytes', 'arrives byte for byte', [
    same('the server gets what the client sent', served, served ? [served.ref] : []),
    same('the client gets back what it sent', result.received, []),
  ])
}

interface Digested {
  readonly bytes?: number | undefined
  readonly sha256?: string | undefined
}

/** A reused connection must not have been opened again. */
export function noSecondOpeningCheck(
  expectation: Expectation,
  variables: Variables,
  attempt: Attempt,
  evidence: Evidence,
): HopVerdict | undefined {
  const reused = expectation.path.legs.filter((l) => l.reused)
  if (reused.length === 0) return undefined
  const openings = reused.flatMap((l) => l.hops.flatMap((h) => h.proofs)).filter((p) => p.kind === 'packet' && p.which === 'syn')
  const again = openings.flatMap((proof) => {
    const want = fillFlow(proof as { from: string; to: string }, variables)
    const target = want.to
    const at = proof as unknown as Device
    return evidence.in('packet', at, attempt.window).filter((p) => p.dev === at.dev && p.flags === 'S' && p.to === target)
  })
  const expected = 'no second SYN to the tunnel that is reused'
  return check('reused', 'opens no second tunnel', [
    again[0] ? contradicted('packet', expected, `a SYN ${again[0].from} → ${again[0].to}`, [again[0].ref]) : proven('packet', expected, []),
  ])
}

/** A check as a hop of its own. */
export function check(id: string, title: string, proofs: readonly ProofVerdict[]): HopVerdict {
  return { id: `case/${id}`, title, vantage: '', verdict: hopVerdict(proofs), proofs }
}

export function hopVerdict(proofs: readonly ProofVerdict[]): HopVerdict['verdict'] {
  if (proofs.some((p) => p.status === 'contradicted')) return 'fail'
  return proofs.some((p) => p.status === 'missing') ? 'inconclusive' : 'pass'
}
