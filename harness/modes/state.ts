import type { Observation } from '../evidence/observation.ts'
import type { TopologyRecord } from '../evidence/topology-record.ts'

/** Kernel state that is not as the mode promises: where, and what. */
export interface Drift {
  /** `node/netns` */
  readonly where: string
  readonly what: string
}

/** Compares the state in a snapshot with what a mode promises for the pods that the API calls enrolled. Pure; traffic plays no part. */
export type Audit = (observations: readonly Observation[], topology: TopologyRecord, snapshot: string, release: string) => Drift[]
