import type { FaultResult } from '../faults.ts'
import type { Results, Stage } from '../results.ts'

/**
 * What `index.html` shows: results, and of the bundle what they refer to. Plain data, written by the harness, read by the app in the browser.
 * Times are microseconds since `Report.epoch`. Indexes point into `Report.evidence`, `walks` and `rules`, where each thing stands once.
 */
export interface Report {
  readonly schema: 1
  readonly kind: 'run' | 'faults'
  readonly run: string
  readonly provider: string
  readonly startedAt: string
  readonly totals: Results['totals']
  readonly notes: readonly string[]
  /** Cells that were asked for and not run. */
  readonly notRun: readonly { readonly id: string; readonly reason: string }[]
  readonly stages: readonly Stage[]
  /** One a mode and release. */
  readonly batches: readonly ReportBatch[]
  /** Microseconds since 1970. */
  readonly epoch: number
  readonly cases: readonly ReportCase[]
  readonly evidence: readonly Evidence[]
  readonly walks: readonly Walk[]
  readonly rules: readonly string[]
  readonly faults?: FaultMatrix
}

export interface ReportBatch {
  readonly mode: string
  readonly release: string
  /** The bundle's folder, from where the report lies. */
  readonly folder: string
  readonly environment: Readonly<Record<string, string>>
}

export interface FaultMatrix {
  readonly mode: string
  readonly release: string
  readonly faults: readonly FaultResult[]
}

export interface ReportCase {
  /** Unique in the report: the case's id; with a fault `FAULT: ID`. */
  readonly key: string
  readonly id: string
  readonly mode: string
  readonly release: string
  /** Of `Report.batches`. */
  readonly batch: number
  readonly fault?: string
  readonly verdict: Results['cases'][number]['verdict']
  readonly reason?: string
  readonly brokenHop?: string
  readonly likely?: string
  readonly durationMs: number
  readonly reproduce: string
  /** Values of its axes by name: `traffic`, `placement`, `protocol` …; none for a case that could not be bound. */
  readonly axes: Readonly<Record<string, string>>
  readonly request?: Request
  readonly legs: readonly ReportLeg[]
  readonly checks: readonly ReportHop[]
  /** All packets of its connections, oldest first: index of the packet, index of its leg (−1: on none). */
  readonly packets: readonly (readonly [packet: number, leg: number])[]
  /** Its capture file, from where the report lies. */
  readonly capture?: string
  /** Of a disruption: the load that ran meanwhile. */
  readonly load?: ReportLoad
}

/** Times in milliseconds from its begin. */
export interface ReportLoad {
  readonly client: Pick<Place, 'node' | 'netns'>
  readonly server: Pick<Place, 'node' | 'netns'>
  readonly lasted: number
  readonly requests: readonly LoadRequest[]
  /** What was done to the mesh, and what the API told of pods; `netns` of the pod, empty: the harness. */
  readonly events: readonly { readonly at: number; readonly netns: string; readonly what: string }[]
  /** When both ends were annotated enrolled. */
  readonly sealed: readonly (readonly [from: number, to: number])[]
}

export interface LoadRequest {
  readonly at: number
  readonly took: number
  readonly fate: 'delivered' | 'late' | 'duplicated' | 'reset' | 'lost'
  /** Somewhere between the pods. */
  readonly readable: boolean
}

export interface Request {
  readonly client: Place
  readonly server: Place
  readonly destination: string
  readonly endpoint: string
  /** What its negative control takes away. */
  readonly decisive: string
  readonly outcome: string
  /** The secret word that it carried. */
  readonly token: string
  readonly t: number
}

export interface Place {
  readonly node: string
  readonly netns: string
  readonly ip: string
  readonly enrolled: boolean
}

export interface ReportLeg {
  readonly id: string
  readonly title: string
  /** In words, for somebody who never saw a mesh. */
  readonly means?: string
  readonly row: 'clear' | 'sealed'
  readonly reused: boolean
  readonly facts: string
  readonly hops: readonly ReportHop[]
}

export interface ReportHop {
  readonly id: string
  readonly title: string
  readonly means?: string
  /** `node/netns[/dev]`; empty for what holds for the case as a whole. */
  readonly vantage: string
  readonly verdict: 'pass' | 'fail' | 'inconclusive'
  readonly proofs: readonly ReportProof[]
}

export interface ReportProof {
  readonly kind: string
  readonly label: 'observed' | 'computed' | 'aggregate'
  readonly status: 'proven' | 'contradicted' | 'missing'
  readonly expected: string
  readonly seen?: string
  /** What was asked for, field by field, as the path's table has it with the run's ports put in. */
  readonly asked?: Readonly<Record<string, unknown>>
  /** Of `Report.evidence`. */
  readonly refs: readonly number[]
  /** Pointers into the bundle to what is not shown here. */
  readonly pointers?: readonly string[]
  /** How many more it rests on, which only the bundle holds. */
  readonly more?: number
}

export type Evidence = PacketEvidence | TraceEvidence | OtherEvidence

interface Source {
  /** Pointer into the bundle, `FILE#LN` or `FILE#pN`. */
  readonly ref: string
  /** `node/netns[/dev]` */
  readonly at: string
  readonly t?: number
}

export interface PacketEvidence extends Source {
  readonly kind: 'packet'
  readonly t: number
  readonly dir: 'in' | 'out'
  readonly proto: string
  readonly from: string
  readonly to: string
  readonly flags: string
  readonly seq: number
  readonly ack: number
  /** Bytes of payload on the wire. */
  readonly len: number
  /** What the payload is, in words; empty: there is none. */
  readonly info: string
  /** The first bytes of the payload, base64; only of packets that a verdict rests on. */
  readonly bytes?: string
}

export interface TraceEvidence extends Source {
  readonly kind: 'trace'
  readonly t: number
  /** Of `Report.walks`, and of its lines. */
  readonly walk: number
  readonly line: number
}

/** Any other observation: named fields, in the order in which they are read best. */
export interface OtherEvidence extends Source {
  readonly kind: string
  readonly fields: Readonly<Record<string, string>>
  readonly raw?: string
}

/** A packet's way through the rules of one namespace. */
export interface Walk {
  readonly at: string
  readonly lines: readonly WalkLine[]
}

/** `rule`: index into `Report.rules`, −1: no rule, the chain's end. `flow`: as the base chain saw the packet, where it changed. */
export type WalkLine = readonly [table: string, chain: string, what: string, rule: number, verdict: string, mark: number, flow?: string]
