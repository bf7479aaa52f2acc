import type { Evidence, ReportProof, TraceEvidence } from '../../report.ts'

/** Kinds of proofs that rest on one observation; what else they refer to only tells a port that the run chose. */
const single = new Set(['packet', 'conntrack', 'socket', 'log', 'served'])
const kindOf: Readonly<Record<string, string>> = { token: 'packet', log: 'ztunnel-log' }

/** A piece of evidence to show; of a rule trace all of its lines that are referred to, at once. */
export interface Shown {
  readonly evidence: Evidence
  readonly lines: readonly number[]
}

/** What a proof refers to, parted: what proves or contradicts it, and where its ports are known from. */
export function evidenceOf(proof: Pick<ReportProof, 'kind' | 'refs'>, at: (index: number) => Evidence): { main: Shown[]; ports: Shown[] } {
  const main: Evidence[] = []
  const ports: Evidence[] = []
  const wanted = kindOf[proof.kind] ?? proof.kind
  for (const [i, ref] of proof.refs.entries()) {
    const evidence = at(ref)
    const flows = ['packet', 'conntrack'].includes(evidence.kind)
    const bound = flows && i > 0 && (single.has(proof.kind) || evidence.kind !== wanted)
    if (bound) ports.push(evidence)
    else main.push(evidence)
  }
  return { main: merged(main), ports: merged(ports) }
}

function merged(all: readonly Evidence[]): Shown[] {
  const walks = new Map<number, number[]>()
  const shown: Shown[] = []
  for (const evidence of all) {
    const { walk, line } = evidence as Partial<TraceEvidence>
    if (walk === undefined || line === undefined) {
      shown.push({ evidence, lines: [] })
      continue
    }
    const lines = walks.get(walk)
    if (lines) lines.push(line)
    else {
      const own = [line]
      walks.set(walk, own)
      shown.push({ evidence, lines: own })
    }
  }
  return shown
}
