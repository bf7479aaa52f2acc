import type { Frame, PacketObservation } from '../evidence/observation.ts'
import type { Flow, PacketProof, Which } from '../modes/path.ts'
import { fillFlow } from './bind.ts'
import { contradicted, isWhich, missing, protocolOf, proven, type Scene, sharesAnEnd } from './proof.ts'
import type { ProofVerdict } from './verdict.ts'

/** A packet as a proof looks at it: the datagram itself, or what it carries. */
interface Seen {
  readonly frame: Frame
  readonly packet: PacketObservation
}

const windowOf = (which: Which, scene: Scene) => (which === 'syn' || which === 'syn-ack' ? scene.opening : scene.window)

/** The packet was here, going this way, as it is or inside the tunnel that is asked for. */
export function provePacket(proof: PacketProof, scene: Scene): ProofVerdict {
  const want = fillFlow(proof, scene.variables)
  const through = proof.inside && { ...fillFlow(proof.inside, scene.variables), vni: proof.inside.vni }
  const inside = through ? ` inside GENEVE ${through.vni} ${through.from} → ${through.to}` : ''
  const expected = `${proof.which} ${want.from} → ${want.to}${inside} ${proof.direction} at ${proof.netns}/${proof.dev}`
  const there = scene.evidence
    .in('packet', proof, windowOf(proof.which, scene))
    .filter((p) => p.dev === proof.dev && p.direction === proof.direction)
  const bare = there.map((packet): Seen => ({ frame: packet, packet }))
  const carried = there.flatMap((packet): Seen[] => (packet.tunnel ? [{ frame: packet.tunnel, packet }] : []))
  const here = (through ? carried : bare).filter(({ frame }) => frame.protocol === protocolOf(proof.which))
  const kind = here.filter(({ frame }) => isWhich(proof.which, frame))
  const flow = here.filter(({ frame }) => goes(frame, want))
  const mine = flow.filter(({ frame }) => isWhich(proof.which, frame))
  // Sent again, it can have another source port: that is a hash.
  const exact = mine.find((s) => !through || s.packet.from === through.from)
  // One of its packets under other addresses: what comes after it under the right ones does not make it good.
  const astray =
    exact?.frame.protocol === 'tcp' &&
    kind.find((s) => !flow.includes(s) && sharesAnEnd(s.frame, want) && flow.some((f) => adjoins(f.frame, s.frame)))
  // The right packet in another tunnel, or not wrapped as it must be.
  const wrong = through && mine.find((s) => !isThrough(s.packet, through))
  // Which datagrams are of this connection is told by the first of them: without it the others prove nothing.
  if (through?.from.includes('$') && mine.length > 0) return missing(proof.kind, expected)
  if (exact && !astray && !wrong) return proven(proof.kind, expected, [exact.packet.ref])
  const otherwise = (through ? bare : carried).find(({ frame }) => goes(frame, want) && isWhich(proof.which, frame))
  const near =
    wrong ||
    astray ||
    (otherwise ??
      mine[0] ??
      kind.find((s) => sharesAnEnd(s.frame, want)) ??
      here.find((s) => s.frame.flags.includes('R') && sharesAnEnd(s.frame, want)))
  return near ? contradicted(proof.kind, expected, textOf(near), [near.packet.ref]) : missing(proof.kind, expected)
}

const goes = (frame: Frame, { from, to }: Flow) => frame.from === from && frame.to === to

const isThrough = ({ from, to, tunnel }: PacketObservation, want: Flow & { readonly vni: number }) =>
  tunnel?.header === 'geneve' && tunnel.vni === want.vni && addressOf(from) === addressOf(want.from) && to === want.to
const addressOf = (end: string) => end.slice(0, end.lastIndexOf(':'))

/** Whether one follows the other in one sequence of bytes, or is the other once more. */
const adjoins = (a: Frame, b: Frame) => a.seq === b.seq || nextSeq(a) === b.seq || nextSeq(b) === a.seq
const nextSeq = (p: Frame) => (p.seq + p.payloadLength + (/[SF]/.test(p.flags) ? 1 : 0)) >>> 0

function textOf({ frame, packet: { tunnel, from, to } }: Seen): string {
  const inside = tunnel === frame ? ` inside ${tunnel.header === 'geneve' ? 'GENEVE' : 'VXLAN'} ${tunnel.vni} ${from} → ${to}` : ''
  return `[${frame.flags}] ${frame.from} → ${frame.to}, ${frame.payloadLength} bytes${inside}`
}
