import type { ClusterHandle } from '../../clusters/cluster.ts'
import type { Results } from '../../reports/results.ts'
import type { Disruption } from '../disruption/cells.ts'
import type { TopologyRecord } from '../evidence/topology-record.ts'
import type { Case } from '../matrix/cell.ts'
import type { Environment } from './environment.ts'

/** A cell that was asked for and is not run, and why. */
export type NotRun = NonNullable<Results['notRun']>[number]

/** What a run hands to its suites: plain data, through vitest's provide and inject. */
export interface RunContext {
  readonly run: string
  readonly cluster: ClusterHandle
  readonly topology: TopologyRecord
  /** A topology that is not the default, as the command was given it. */
  readonly topologyGiven?: string | undefined
  readonly environment: Environment
  /** Cases in flight at once, at most. */
  readonly concurrency: number
  readonly batches: readonly {
    readonly mode: string
    readonly release: string
    readonly cases: readonly Case[]
    /** What its bundle tells of cells that are not run: those of the whole run, in its first bundle; those of later bundles, too, as long as they are not there. */
    readonly notRun: readonly NotRun[]
    /** The bundle's directory. */
    readonly directory: string
  }[]
  /** What is done to the mesh under load, each with a bundle of its own beside the others. */
  readonly disruptions: readonly {
    readonly mode: string
    readonly release: string
    readonly cases: readonly Disruption[]
    /** As of the others, when this is the run's first bundle. */
    readonly notRun: readonly NotRun[]
    readonly directory: string
  }[]
}

declare module 'vitest' {
  interface ProvidedContext {
    everyhop: RunContext
  }
}
