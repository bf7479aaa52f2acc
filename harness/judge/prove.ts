import type { ConntrackProof, LogProof, Proof, RouteProof, ServedProof, SilenceProof, SocketProof, TokenProof } from '../modes/path.ts'
import { boundRefs, fill, fillFlow } from './bind.ts'
import { contradicted, hex, missing, proven, type Scene, sharesAnEnd } from './proof.ts'
import { proveBytes, proveTokenAtEnds } from './prove-bytes.ts'
import { proveOrder } from './prove-order.ts'
import { provePacket } from './prove-packet.ts'
import { proveTrace } from './prove-trace.ts'
import { proveUntouched } from './prove-untouched.ts'
import { streamAt } from './stream.ts'
import type { ProofVerdict } from './verdict.ts'

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
      return proof.ends === undefined ? proveToken(proof, scene) : proveTokenAtEnds(proof, proof.ends, scene)
    case 'route':
      return proveRoute(proof, scene)
    case 'order':
      return proveOrder(proof, scene)
    case 'silence':
      return proveSilence(proof, scene)
    case 'untouched':
      return proveUntouched(proof, scene)
    case 'bytes':
      return proveBytes(proof, scene)
  }
}

function proveConntrack(proof: ConntrackProof, scene: Scene): ProofVerdict {
  const orig = fillFlow(proof.orig, scene.variables)
  const reply = fillFlow(proof.reply, scene.variables)
  const zoned = proof.zone === 0 ? '' : `, in zone ${proof.zone},`
  const expected = `connection ${orig.from} → ${orig.to}, answered ${reply.from} → ${reply.to}, with connection mark ${hex(proof.mark)}${zoned} in ${proof.netns}`
  const same = (a: { from: string; to: string }, b: { from: string; to: string }) => a.from === b.from && a.to === b.to
  const events = scene.evidence.in('conntrack', proof, scene.opening).filter((e) => e.protocol === proof.protocol)
  const mine = events.filter((e) => same(e.orig, orig) && same(e.reply, reply))
  const exact = mine.find((e) => e.mark === proof.mark && e.zone === proof.zone)
  // Each event tells the whole entry: none may know half of it otherwise, nor a mark that is neither this one nor the one before it.
  const astray =
    events.find((e) => same(e.orig, orig) !== same(e.reply, reply)) ??
    mine.find((e) => (e.mark !== 0 && e.mark !== proof.mark) || e.zone !== proof.zone)
  if (exact && !astray) return proven(proof.kind, expected, [exact.ref])
  const near =
    astray ??
    mine.at(-1) ??
    events.findLast((e) => same(e.orig, orig) || same(e.reply, reply) || (sharesAnEnd(e.orig, orig) && sharesAnEnd(e.reply, reply)))
  return near
    ? contradicted(
        proof.kind,
        expected,
        `${near.orig.from} → ${near.orig.to}, answered ${near.reply.from} → ${near.reply.to}, mark ${hex(near.mark)}, zone ${near.zone}`,
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
  const expected = `ztunnel on ${proof.node} ${proof.target === 'dns' ? 'tells of a question' : `logs "${proof.message}"`} with ${fields.map(([k, v]) => `${k}=${v}`).join(' ')}${proof.without.length ? ` and without ${proof.without.join(', ')}` : ''}`
  const lines = scene.evidence.in('ztunnel-log', { node: proof.node }, scene.window).filter((l) => l.target === proof.target)
  const fits = (l: (typeof lines)[number]) =>
    l.message === proof.message && fields.every(([k, v]) => like(l.fields[k], v)) && proof.without.every((k) => l.fields[k] === undefined)
  const exact = lines.find(fits)
  if (exact) return proven(proof.kind, expected, [exact.ref])
  const told = Object.fromEntries(fields)
  const isNear = (l: (typeof lines)[number]) =>
    proof.target === 'dns'
      ? l.fields.domain === told.domain
      : l.fields.direction === told.direction &&
        (l.fields['src.addr'] === told['src.addr'] ||
          (told['dst.hbone_addr']
            ? l.fields['dst.hbone_addr'] === told['dst.hbone_addr']
            : like(l.fields['dst.addr'], told['dst.addr'] ?? '')))
  const near = lines.find(isNear)
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
  const expected = `the server at ${proof.local} in ${proof.netns} is spoken to in ${proof.protocol} by ${peer}, and sees the token`
  const mine = scene.evidence.in('served', proof, scene.window).filter((s) => s.body.includes(scene.token))
  // A UDP socket is bound to all addresses, and tells only its port.
  const atPort = (local: string) => (proof.local.startsWith('*:') ? local.endsWith(proof.local.slice(1)) : local === proof.local)
  const exact = mine.find((s) => s.peer === peer && atPort(s.local) && s.protocol === proof.protocol)
  if (exact) return proven(proof.kind, expected, [exact.ref])
  return mine[0]
    ? contradicted(proof.kind, expected, `${mine[0].protocol} by peer ${mine[0].peer} at ${mine[0].local}`, [mine[0].ref])
    : missing(proof.kind, expected)
}

function proveSilence(proof: SilenceProof, scene: Scene): ProofVerdict {
  const end = fill(proof.end, scene.variables)
  const expected = `ztunnel on ${proof.node} tells of nothing from ${end}`
  const line = scene.evidence.in('ztunnel-log', { node: proof.node }, scene.window).find((l) => l.fields['src.addr'] === end)
  return line
    ? contradicted(proof.kind, expected, `"${line.message}" to ${line.fields['dst.addr']}`, [line.ref])
    : proven(proof.kind, expected, [])
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
  if (rule && line) return proven(proof.kind, expected, [rule.ref, line.ref], 'computed')
  // What stands in its place: a rule of the same priority, a route of the same table.
  const [priority = ''] = proof.rule.split(' ')
  const [table = ''] = / table \S+/.exec(proof.route) ?? []
  const near = rule
    ? state.find((o) => o.kind === 'route' && table !== '' && o.line.includes(table))
    : state.find((o) => o.kind === 'policy-rule' && o.line.startsWith(`${priority} `))
  return near ? contradicted(proof.kind, expected, `"${near.line}"`, [near.ref], 'computed') : missing(proof.kind, expected, 'computed')
}
