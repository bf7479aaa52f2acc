import type { Walk, WalkLine } from '../../reports/html/report.ts'
import type { TraceObservation } from '../evidence/observation.ts'

/** The kernel's ids of walks come again: lines further apart than this are of another packet. Microseconds. */
const NEARBY = 20_000
/** The table that asks the kernel for traces is ours, not the mesh's. */
const OWN_TABLE = 'everyhop'

/** The walks of a report and the rules that they met, each once. */
export class WalkStore {
  readonly walks: Walk[] = []
  readonly rules: string[] = []
  readonly #indexes = new Map<string, number>()

  rule(text: string): number {
    let index = this.#indexes.get(text)
    if (index === undefined) {
      index = this.rules.push(text) - 1
      this.#indexes.set(text, index)
    }
    return index
  }
}

/** Finds the whole walk that a trace line of a bundle is of. */
export class Walks {
  readonly #store: WalkStore
  readonly #lines: Map<string, TraceObservation[]>
  readonly #found = new Map<string, { walk: number; line: number }>()

  constructor(store: WalkStore, traces: readonly TraceObservation[]) {
    this.#store = store
    this.#lines = Map.groupBy(
      traces.filter((t) => t.table !== OWN_TABLE),
      keyOf,
    )
  }

  /** Index of the walk, and of the line in it; undefined: a line that is of none. */
  of(trace: TraceObservation): { walk: number; line: number } | undefined {
    const before = this.#found.get(trace.ref)
    if (before) return before
    const lines = (this.#lines.get(keyOf(trace)) ?? []).filter((t) => Math.abs(t.t - trace.t) <= NEARBY)
    const walk = this.#store.walks.length
    if (!lines.some((l) => l.ref === trace.ref)) return undefined
    this.#store.walks.push({ at: `${trace.node}/${trace.netns}`, lines: lines.map((l, i) => this.#line(l, lines[i - 1])) })
    for (const [line, l] of lines.entries()) if (!this.#found.has(l.ref)) this.#found.set(l.ref, { walk, line })
    return this.#found.get(trace.ref)
  }

  #line(l: TraceObservation, before: TraceObservation | undefined): WalkLine {
    const flow = `${l.from} → ${l.to}`
    const base = [l.table, l.chain, l.type, l.rule === undefined ? -1 : this.#store.rule(l.rule), l.verdict, l.mark] as const
    return before && `${before.from} → ${before.to}` === flow ? base : [...base, flow]
  }
}

/** The kernel may give an id to the next packet at once; no rule changes a packet's flags and sequence number. */
const keyOf = (t: TraceObservation) => `${t.node}/${t.netns} ${t.traceId} ${t.protocol} ${t.flags} ${t.seq}`
