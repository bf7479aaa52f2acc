import type { TraceObservation } from '../evidence/observation.ts'
import type { Flow, TraceProof } from '../modes/path.ts'
import { fillFlow } from './bind.ts'
import { contradicted, hex, isWhich, missing, proven, type Scene, sharesAnEnd } from './proof.ts'
import type { ProofVerdict } from './verdict.ts'

/** Whether the packet met its rule, or ran to the policy, on its way through one base chain, and with which mark. */
export function proveTrace(proof: TraceProof, scene: Scene): ProofVerdict {
  const want = fillFlow(proof, scene.variables)
  const what = 'rule' in proof.meets ? proof.meets.rule : `policy ${proof.meets.policy}`
  const expected = `${proof.which} ${want.from} → ${want.to} meets "${what}" in ${proof.table} ${proof.chain} of ${proof.netns}, mark ${hex(proof.mark)} after it`
  const lines = scene.evidence.in('trace', proof, scene.opening).filter((t) => t.table === proof.table && isWhich(proof.which, t))
  const walks = walksOf(lines).filter((w) => w.base === proof.base)
  const own = walks.filter((w) => w.lines[0]!.from === want.from && w.lines[0]!.to === want.to)
  // A table can be there twice, of nf_tables and of iptables-legacy: a packet goes through both.
  const mine = [undefined, 'legacy'].flatMap((backend) => own.find((w) => w.lines[0]!.backend === backend) ?? [])
  if (mine.length === 0) {
    // All datagrams of a tunnel go to one end: another's is not near.
    if (proof.which === 'datagram' && want.from.includes('$')) return missing(proof.kind, expected)
    // The wrong address on the right packet, not merely another packet: it must share an end and have met the same rule.
    const near = walks.find((w) => sharesAnEnd(w.lines[0]!, want) && w.lines.some((l) => meets(l, proof)))
    return near ? contradicted(proof.kind, expected, walkText(near.lines), [near.lines[0]!.ref]) : missing(proof.kind, expected)
  }
  const found = mine.map((walk) => proveWalk(proof, walk, expected, lines, want))
  const pick = (status: ProofVerdict['status'], met?: boolean) =>
    found.find((f) => f.verdict.status === status && (met === undefined || f.met === met))?.verdict
  if ('policy' in proof.meets) {
    // To run to the policy in one of them is not to be left alone.
    const refs = found.flatMap((f) => f.verdict.refs)
    return pick('contradicted') ?? pick('missing') ?? proven(proof.kind, expected, refs)
  }
  return pick('proven') ?? pick('contradicted', true) ?? pick('missing') ?? pick('contradicted')!
}

/** @returns `met`: the rule was met, though perhaps not as it must be */
function proveWalk(
  proof: TraceProof,
  walk: Walk,
  expected: string,
  lines: readonly TraceObservation[],
  want: Flow,
): { readonly verdict: ProofVerdict; readonly met: boolean } {
  const exact = walk.lines.find((l) => meets(l, proof))
  // The jump that led there is part of the proof: without it the line could be of another base chain.
  const led = 'rule' in proof.meets ? [walk.lines[0]!.ref] : []
  if (exact?.mark === proof.mark) return { verdict: proven(proof.kind, expected, [...new Set([exact.ref, ...led])]), met: true }
  if (exact) return { verdict: contradicted(proof.kind, expected, `mark ${hex(exact.mark)}`, [exact.ref]), met: true }
  // The same packet's walk goes on under other addresses.
  const astray = lines.find((l) => l.traceId === walk.lines[0]!.traceId && meets(l, proof) && sharesAnEnd(l, want))
  if (astray) return { verdict: contradicted(proof.kind, expected, walkText([astray]), [astray.ref]), met: true }
  if (!walk.complete) return { verdict: missing(proof.kind, expected), met: false }
  const refs = walk.lines.map((l) => l.ref)
  return { verdict: contradicted(proof.kind, expected, walkText(walk.lines), refs), met: false }
}

const meets = (line: TraceObservation, proof: TraceProof) =>
  line.chain === proof.chain &&
  ('rule' in proof.meets
    ? line.type === 'rule' && line.rule === proof.meets.rule
    : line.type === 'policy' && line.verdict === proof.meets.policy)

interface Walk {
  readonly base: string
  readonly lines: TraceObservation[]
  /** It ran to a verdict: nothing of it was lost at its end. */
  complete: boolean
}

const terminal = new Set(['accept', 'drop', 'queue', 'stolen'])

/** Splits the lines of one table into walks: one packet through one base chain, to its end. */
function walksOf(lines: readonly TraceObservation[]): Walk[] {
  const open = new Map<string, Walk>()
  const walks: Walk[] = []
  for (const line of lines) {
    const key = `${line.traceId} ${line.from} ${line.to}`
    let walk = open.get(key)
    if (!walk) {
      walk = { base: line.chain, lines: [], complete: false }
      open.set(key, walk)
      walks.push(walk)
    }
    walk.lines.push(line)
    if (line.type === 'policy' || terminal.has(line.verdict)) {
      walk.complete = true
      open.delete(key)
    }
  }
  return walks
}

const walkText = (lines: readonly TraceObservation[]) =>
  `${lines[0]!.from} → ${lines[0]!.to}: ${lines.map((l) => (l.type === 'rule' ? (l.rule ?? `${l.chain} rule ${l.handle}`) : `${l.chain} ${l.type} ${l.verdict}`)).join('; ')}`
