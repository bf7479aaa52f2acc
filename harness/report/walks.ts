import type { Walk, WalkLine } from '../../reports/html/report.ts'
import type { TraceObservation } from '../evidence/observation.ts'
import type { Evidence } from '../judge/evidence.ts'

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
  readonly #evidence: Evidence
  readonly #found = new Map<string, { walk: number; line: number }>()

  constructor(store: WalkStore, evidence: Evidence) {
    this.#store = store
    this.#evidence = evidence
  }

  /** Index of the walk, and of the line in it; undefined: a line that is of none. */
  of(trace: TraceObservation): { walk: number; line: number } | undefined {
    const before = this.#found.get(trace.ref)
    if (before) return before
    if (trace.table === OWN_TABLE) return undefined
    const lines = this.#evidence
      .in('trace', trace, { from: trace.t - NEARBY, to: trace.t + NEARBY })
      .filter((t) => t.traceId === trace.traceId && t.table !== OWN_TABLE && samePacket(t, trace))
    const walk = this.#store.walks.length
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
const samePacket = (a: TraceObservation, b: TraceObservation) => a.seq === b.seq && a.flags === b.flags && a.protocol === b.protocol
