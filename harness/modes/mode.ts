import type { Case } from '../matrix/cell.ts'
import type { Fault } from './fault.ts'
import type { Path } from './path.ts'
import type { BoundCase } from './place.ts'
import type { Audit } from './state.ts'

/** How pods are attached to their node: each by a link of its own with a route to it, or all by one bridge. */
export type Network = 'ptp' | 'bridge'

/** A mode as the harness sees it: what must be seen. */
export interface Mode {
  readonly name: string
  /** The releases whose behaviour its tables describe. */
  readonly releases: readonly string[]
  /** Every case that is possible has its path, and there are faults that trip it: else proofs and pipelines do not count on it. */
  readonly complete: boolean
  /** Why a cell cannot be in its release, by a row of the facts; undefined: it can. */
  readonly limit: (c: Case) => string | undefined
  /** Why it cannot be on nodes whose pods are attached like that; undefined: it can. */
  readonly networkLimit?: (network: Network) => string | undefined
  /** Why its mesh cannot be changed under load; undefined: it can. */
  readonly disruptionLimit?: string
  readonly path: (c: BoundCase) => Path
  /** By release. */
  readonly faults: Readonly<Record<string, readonly Fault[]>>
  readonly audit: Audit
}
