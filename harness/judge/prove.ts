import type { PacketObservation, TraceObservation } from '../evidence/observation.ts'
import type {
  ConntrackProof,
  LogProof,
  PacketProof,
  Proof,
  RouteProof,
  ServedProof,
  SocketProof,
  TokenProof,
  TraceProof,
  Which,
} from '../modes/path.ts'
import { boundRefs, fill, fillFlow, type Variables } from './bind.ts'
import type { Evidence, Window } from './evidence.ts'
import { streamAt } from './stream.ts'
import type { ProofLabel, ProofVerdict } from './verdict.ts'

/** What one proof is judged in. */
export interface Scene {
  readonly evidence: Evidence
  readonly variables: Variables
  /** The request's own time. */
  readonly window: Window
  /** Where its connection was opened: the same, or for a reused connection all the time before. */
  readonly opening: Window
  readonly token: string
}

/** Judges one proof: proven by an observation that fits exactly, contradicted by one that stands in its place, else missing. */
export function prove(proof: Proof, scene: Scene): ProofVerdict {
  const verdict = proveAlone(proof, scene)
  const refs = [...new Set([...verdict.refs, ...boundRefs(proof, scene.variables)])]
  return { ...verdict, refs }
}

function proveAlone(proof: Proof, scene: Scene): ProofVerdict {
  switch (proof.kind) {
    case 'packet':
      return provePacket(proof, scene)
    case 'trace':
      return proveTrace(proof, scene)
    case 'conntrack':
      return proveConntrack(proof, scene)
    case 'socket':
      return proveSocket(proof, scene)
    case 'log':
      return proveLog(proof, scene)
    case 'served':
      return proveServed(proof, scene)
    case 'token':
      return proveToken(proof, scene)
    case 'route':
      return proveRoute(proof, scene)
  }
}

const hex = (mark: number) => `0x${mark.toString(16)}`

export function isWhich(which: Which, p: { flags: string; payloadLength?: number }): boolean {
  const syn = p.flags.includes('S')
  switch (which) {
    case 'syn':
      return syn && !p.flags.includes('A')
    case 'syn-ack':
      return syn && p.flags.includes('A')
    default:
      return !syn && (p.payloadLength === undefined ? p.flags.includes('P') : p.payloadLength > 0)
  }
}

const windowOf = (which: Which, scene: Scene) => (which === 'syn' || which === 'syn-ack' ? scene.opening : scene.window)

/** Shares the end that tells this connection from all others: the one with an ephemeral port, or (the other end's address being wrong) the served one. */
const sharesAnEnd = (seen: { from: string; to: string }, want: { from: string; to: string }) =>
  seen.from === want.from || seen.to === want.to

function provePacket(proof: PacketProof, scene: Scene): ProofVerdict {
  const want = fillFlow(proof, scene.variables)
  const expected = `${proof.which} ${want.from} → ${want.to} ${proof.direction} at ${proof.netns}/${proof.dev}`
  const here = scene.evidence
    .in('packet', proof, windowOf(proof.which, scene))
    .filter((p) => p.dev === proof.dev && p.direction === proof.direction && p.protocol === 'tcp')
  const kind = here.filter((p) => isWhich(proof.which, p))
  const exact = kind.find((p) => p.from === want.from && p.to === want.to)
  if (exact) return proven(proof.kind, expected, [exact.ref])
  const near = kind.find((p) => sharesAnEnd(p, want)) ?? here.find((p) => p.flags.includes('R') && sharesAnEnd(p, want))
  return near ? contradicted(proof.kind, expected, packetText(near), [near.ref]) : missing(proof.kind, expected)
}

const packetText = (p: PacketObservation) => `[${p.flags}] ${p.from} → ${p.to}, ${p.payloadLength} bytes`

function proveTrace(proof: TraceProof, scene: Scene): ProofVerdict {
  const want = fillFlow(proof, scene.variables)
  const what = 'rule' in proof.meets ? proof.meets.rule : `policy ${proof.meets.policy}`
  const expected = `${proof.which} ${want.from} → ${want.to} meets "${what}" in ${proof.table} ${proof.chain} of ${proof.netns}, mark ${hex(proof.mark)} after it`
  const lines = scene.evidence.in('trace', proof, scene.opening).filter((t) => t.table === proof.table && isWhich(proof.which, t))
  const walks = walksOf(lines).filter((w) => w.base === proof.base)
  const mine = walks.find((w) => w.lines[0]!.from === want.from && w.lines[0]!.to === want.to)
  if (!mine) {
    // The wrong address on the right packet, not merely another packet: it must share an end and have met the same rule.
    const near = walks.find((w) => sharesAnEnd(w.lines[0]!, want) && w.lines.some((l) => meets(l, proof)))
    return near ? contradicted(proof.kind, expected, walkText(near.lines), [near.lines[0]!.ref]) : missing(proof.kind, expected)
  }
  const exact = mine.lines.find((l) => meets(l, proof))
  // The jump that led there is part of the proof: without it the line could be of another base chain.
  if (exact?.mark === proof.mark)
    return proven(proof.kind, expected, [...new Set([exact.ref, ...('rule' in proof.meets ? [mine.lines[0]!.ref] : [])])])
  if (exact) return contradicted(proof.kind, expected, `mark ${hex(exact.mark)}`, [exact.ref])
  return mine.complete
    ? contradicted(
        proof.kind,
        expected,
        walkText(mine.lines),
        mine.lines.map((l) => l.ref),
      )
    : missing(proof.kind, expected)
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

function proveConntrack(proof: ConntrackProof, scene: Scene): ProofVerdict {
  const orig = fillFlow(proof.orig, scene.variables)
  const reply = fillFlow(proof.reply, scene.variables)
  const expected = `connection ${orig.from} → ${orig.to}, answered ${reply.from} → ${reply.to}, with connection mark ${hex(proof.mark)} in ${proof.netns}`
  const same = (a: { from: string; to: string }, b: { from: string; to: string }) => a.from === b.from && a.to === b.to
  const events = scene.evidence.in('conntrack', proof, scene.opening).filter((e) => e.protocol === 'tcp')
  const mine = events.filter((e) => same(e.orig, orig) && same(e.reply, reply))
  const exact = mine.find((e) => e.mark === proof.mark)
  if (exact) return proven(proof.kind, expected, [exact.ref])
  const near =
    mine.at(-1) ??
    events.findLast((e) => same(e.orig, orig) || same(e.reply, reply) || (sharesAnEnd(e.orig, orig) && sharesAnEnd(e.reply, reply)))
  return near
    ? contradicted(
        proof.kind,
        expected,
        `${near.orig.from} → ${near.orig.to}, answered ${near.reply.from} → ${near.reply.to}, mark ${hex(near.mark)}`,
        [near.ref],
      )
    : missing(proof.kind, expected)
}

function proveSocket(proof: SocketProof, scene: Scene): ProofVerdict {
  const local = fill(proof.local, scene.variables)
  const peer = fill(proof.peer, scene.variables)
  const expected = `socket ${local} ↔ ${peer} with mark ${hex(proof.mark)} in ${proof.netns}`
  const all = scene.evidence.in('socket', proof, scene.window)
  const mine = all.filter((s) => s.local === local && s.peer === peer)
  const exact = mine.find((s) => s.mark === proof.mark)
  if (exact) return proven(proof.kind, expected, [exact.ref])
  const near = mine[0] ?? all.find((s) => s.peer === peer || s.local === local)
  return near
    ? contradicted(proof.kind, expected, `${near.local} ↔ ${near.peer}, mark ${hex(near.mark)}`, [near.ref])
    : missing(proof.kind, expected)
}

function proveLog(proof: LogProof, scene: Scene): ProofVerdict {
  const fields = Object.entries(proof.fields).map(([key, value]) => [key, fill(value, scene.variables)] as const)
  const expected = `ztunnel on ${proof.node} logs "${proof.message}" with ${fields.map(([k, v]) => `${k}=${v}`).join(' ')}${proof.without.length ? ` and without ${proof.without.join(', ')}` : ''}`
  const lines = scene.evidence.in('ztunnel-log', { node: proof.node }, scene.window).filter((l) => l.target === 'access')
  const fits = (l: (typeof lines)[number]) =>
    l.message === proof.message && fields.every(([k, v]) => like(l.fields[k], v)) && proof.without.every((k) => l.fields[k] === undefined)
  const exact = lines.find(fits)
  if (exact) return proven(proof.kind, expected, [exact.ref])
  const told = Object.fromEntries(fields)
  const near = lines.find(
    (l) =>
      l.fields.direction === told.direction &&
      (l.fields['src.addr'] === told['src.addr'] || l.fields['dst.hbone_addr'] === (told['dst.hbone_addr'] ?? '-')),
  )
  return near
    ? contradicted(
        proof.kind,
        expected,
        `"${near.message}" ${Object.entries(near.fields)
          .map(([k, v]) => `${k}=${v}`)
          .join(' ')}`,
        [near.ref],
      )
    : missing(proof.kind, expected)
}

/** Equal, where `*` at either end of the pattern stands for anything. */
function like(value: string | undefined, pattern: string): boolean {
  if (value === undefined) return false
  const core = pattern.replace(/^\*|\*$/g, '')
  if (pattern.startsWith('*') && pattern.endsWith('*')) return value.includes(core)
  if (pattern.endsWith('*')) return value.startsWith(core)
  return pattern.startsWith('*') ? value.endsWith(core) : value === pattern
}

function proveServed(proof: ServedProof, scene: Scene): ProofVerdict {
  const peer = fill(proof.peer, scene.variables)
  const expected = `the server at ${proof.local} in ${proof.netns} sees its peer as ${peer}, and the token`
  const mine = scene.evidence.in('served', proof, scene.window).filter((s) => s.body.includes(scene.token))
  const exact = mine.find((s) => s.peer === peer && s.local === proof.local)
  if (exact) return proven(proof.kind, expected, [exact.ref])
  return mine[0]
    ? contradicted(proof.kind, expected, `peer ${mine[0].peer} at ${mine[0].local}`, [mine[0].ref])
    : missing(proof.kind, expected)
}

function proveToken(proof: TokenProof, scene: Scene): ProofVerdict {
  const expected = `the token is ${proof.row === 'clear' ? 'readable' : 'not readable in the whole stream'} at ${proof.netns}/${proof.dev}${proof.backward ? ', both ways' : ''}`
  const streams = [proof.forward, ...(proof.backward ? [proof.backward] : [])].map((f) =>
    streamAt(scene.evidence, proof, fillFlow(f, scene.variables), scene.window),
  )
  const holding = streams.map((s) => s.packets.filter((p) => Buffer.from(p.payload).includes(scene.token)))
  const readable = streams.map((s) => s.runs.some((bytes) => bytes.includes(scene.token)))
  if (proof.row === 'clear') {
    // A token split over two packets is in the stream but in neither packet: then all of them prove it.
    const refs = streams.flatMap((s, i) => (holding[i]!.length > 0 ? holding[i]! : s.packets).map((p) => p.ref))
    if (readable.every(Boolean)) return proven(proof.kind, expected, refs)
    const unread = streams.filter((_, i) => !readable[i])
    return unread.every((s) => s.complete)
      ? contradicted(proof.kind, expected, 'the stream is whole and the token is not in it', refs)
      : missing(proof.kind, expected)
  }
  const refs = streams.flatMap((s) => s.packets.map((p) => p.ref))
  if (readable.some(Boolean))
    return contradicted(
      proof.kind,
      expected,
      'the token, readable',
      holding.flat().map((p) => p.ref),
    )
  return streams.every((s) => s.complete) ? proven(proof.kind, expected, refs) : missing(proof.kind, expected)
}

function proveRoute(proof: RouteProof, scene: Scene): ProofVerdict {
  const expected = `policy rule "${proof.rule}" and route "${proof.route}" in ${proof.netns}`
  const state = scene.evidence.state(proof)
  const rule = state.find((o) => o.kind === 'policy-rule' && o.line === proof.rule)
  const line = state.find((o) => o.kind === 'route' && o.line.startsWith(proof.route))
  return rule && line ? proven(proof.kind, expected, [rule.ref, line.ref], 'computed') : missing(proof.kind, expected, 'computed')
}

export function proven(kind: string, expected: string, refs: readonly string[], label: ProofLabel = 'observed'): ProofVerdict {
  return { kind, label, status: 'proven', expected, refs, ...(refs[0] === undefined ? {} : { ref: refs[0] }) }
}

export function contradicted(
  kind: string,
  expected: string,
  seen: string,
  refs: readonly string[],
  label: ProofLabel = 'observed',
): ProofVerdict {
  return { kind, label, status: 'contradicted', expected, seen, refs, ...(refs[0] === undefined ? {} : { ref: refs[0] }) }
}

export function missing(kind: string, expected: string, label: ProofLabel = 'observed'): ProofVerdict {
  return { kind, label, status: 'missing', expected, refs: [] }
}
