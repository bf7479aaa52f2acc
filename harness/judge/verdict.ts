import type { Row } from '../modes/path.ts'

export type Verdict = 'pass' | 'fail' | 'unsupported' | 'inconclusive' | 'error'

/** How strong a proof is: this very flow, a computation over recorded state, or a sum that only a whole run can move. */
export type ProofLabel = 'observed' | 'computed' | 'aggregate'

export interface ProofVerdict {
  readonly kind: string
  readonly label: ProofLabel
  /** `proven`; `contradicted`: something else was seen in its place; `missing`: nothing was. */
  readonly status: 'proven' | 'contradicted' | 'missing'
  /** What had to be seen, in words. */
  readonly expected: string
  /** What was seen instead. */
  readonly seen?: string
  /** Pointer into the bundle, of the observation that proves or contradicts; the first of `refs`. */
  readonly ref?: string
  readonly refs: readonly string[]
}

export interface HopVerdict {
  readonly id: string
  readonly title: string
  readonly vantage: string
  readonly verdict: 'pass' | 'fail' | 'inconclusive'
  readonly proofs: readonly ProofVerdict[]
}

export interface LegVerdict {
  readonly id: string
  readonly title: string
  readonly row: Row
  readonly hops: readonly HopVerdict[]
}

export interface CaseVerdict {
  readonly id: string
  readonly mode: string
  readonly verdict: Verdict
  /** Why not `pass`, in one sentence. */
  readonly reason?: string
  /** `fail`: the first hop of the path that is not as it must be. */
  readonly brokenHop?: string
  /** `fail`: the rule or setting that most likely broke it. */
  readonly likely?: string
  readonly durationMs: number
  readonly legs: readonly LegVerdict[]
  /** What holds for the case as a whole: outcome, sentinel, closed world, controls. */
  readonly checks: readonly HopVerdict[]
}
