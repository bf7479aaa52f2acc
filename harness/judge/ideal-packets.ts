import type { PacketObservation } from '../evidence/observation.ts'
import type { BytesProof, Device, OrderProof, PacketProof, Proof, TokenProof, Which } from '../modes/path.ts'
import { fillFlow, type Variables } from './bind.ts'
import { protocolOf } from './proof.ts'

/** Of a connection with many bytes: the size of its first and its last packet, and of the one between, which is not kept. */
const END = 8 << 10
const MIDDLE = (8 << 20) - 2 * END

const sameDevice = (a: Device, b: Device) => a.node === b.node && a.netns === b.netns && a.dev === b.dev

export const SEQUENCE: Record<Which, number> = { syn: 1000, data: 1001, 'syn-ack': 2000, reply: 2001, datagram: 0, answer: 0 }
export const FLAGS: Record<Which, string> = { syn: 'S', 'syn-ack': 'SA', data: 'PA', reply: 'PA', datagram: '', answer: '' }

/** One packet of the flow that a proof asks for. */
export function packetOf(
  proof: PacketProof,
  leg: readonly Proof[],
  variables: Variables,
  token: string,
  t: number,
): Omit<PacketObservation, 'ref'> {
  const clear = leg.some((p) => p.kind === 'token' && p.row === 'clear' && sameDevice(p, proof))
  const carries = proof.which !== 'syn' && proof.which !== 'syn-ack'
  const isLong = leg.some((p) => p.kind === 'token' && p.ends !== undefined && sameDevice(p, proof))
  const text = clear ? `POST ${token}` : 'sealed'
  const payload = carries ? Buffer.from(isLong ? text.padEnd(END, '.') : text) : Buffer.alloc(0)
  const { node, netns, dev, direction, which, inside } = proof
  const at = { kind: 'packet', node, netns, dev, direction, t: t + Object.keys(SEQUENCE).indexOf(which) } as const
  const macs = { macFrom: '', macTo: '' }
  const frame = { protocol: protocolOf(which), ...fillFlow(proof, variables), ...macs, flags: FLAGS[which], seq: SEQUENCE[which], ack: 0 }
  const carried = { ...frame, payloadLength: payload.length, payload }
  if (!inside) return { ...at, ...carried }
  const datagram = { protocol: 'udp', ...fillFlow(inside, variables), ...macs, flags: '', seq: 0, ack: 0 } as const
  return { ...at, ...datagram, payloadLength: 50, payload: Buffer.alloc(50), tunnel: { header: 'geneve', vni: inside.vni, ...carried } }
}

/** What comes after the first packets each way, where only the ends of a connection are kept: one that is cut, and the last. */
export function restOf(proof: TokenProof, leg: readonly Proof[], variables: Variables, token: string, main: number): object[] {
  return (['data', 'reply'] as const).flatMap((which) => {
    const first = firstOf(proof, which, leg, variables, token, main)
    const last = Buffer.from((proof.row === 'clear' ? token : 'sealed').padStart(END, '.'))
    return [
      { ...first, t: main + 6, seq: first.seq + END, payload: Buffer.alloc(0), payloadLength: MIDDLE },
      { ...first, t: main + 7, seq: first.seq + END + MIDDLE, payload: last, payloadLength: END },
    ]
  })
}

/** The ends of both sides. */
export function closingOf(proof: BytesProof, leg: readonly Proof[], variables: Variables, token: string, main: number): object[] {
  return (['data', 'reply'] as const).map((which) => {
    const first = firstOf(proof, which, leg, variables, token, main)
    return { ...first, t: main + 8, flags: 'FA', seq: first.seq + proof.bytes, payload: Buffer.alloc(0), payloadLength: 0 }
  })
}

/** The first data packet of a direction, as it goes by this device. */
function firstOf(
  at: TokenProof | BytesProof,
  which: 'data' | 'reply',
  leg: readonly Proof[],
  variables: Variables,
  token: string,
  main: number,
) {
  const here = leg.filter((p): p is PacketProof => p.kind === 'packet' && p.which === which && sameDevice(p, at))
  const asked = here.find((p) => p.direction === 'in') ?? here[0]!
  return packetOf(asked, leg, variables, token, main)
}

/** What an order needs besides the first packets each way: a greeting before them, or the ends of both sides, with late bytes between. */
export function orderOf(proof: OrderProof, leg: readonly Proof[], variables: Variables, token: string, main: number): object[] {
  const { node, netns, dev, order } = proof
  const packet = (which: 'data' | 'reply', flags: string, after: number, at: number, payload = '') => {
    const f = which === 'data' ? proof.forward : proof.backward
    // As the first of its direction goes by there; on lo each comes in too.
    const first = leg.find((p): p is PacketProof => p.kind === 'packet' && p.which === which && sameDevice(p, proof))
    const way = dev === 'lo' ? 'in' : first!.direction
    const like = packetOf({ kind: 'packet', node, netns, dev, direction: way, which, ...f }, leg, variables, token, main)
    return { ...like, t: main + at, flags, seq: like.seq + after, payload: Buffer.from(payload), payloadLength: payload.length }
  }
  const said = packetOf(
    { kind: 'packet', node, netns, dev, direction: 'in', which: 'data', ...proof.forward },
    leg,
    variables,
    token,
    main,
  ).payloadLength
  switch (order) {
    case 'server-speaks-first':
      return [packet('reply', 'PA', -5, 0.5, 'hello')]
    case 'client-ends-first':
      return [packet('data', 'FA', said, 2.5), packet('reply', 'FA', said, 5)]
    case 'server-ends-first':
      return [packet('reply', 'FA', said, 4), packet('data', 'PA', said, 5, 'late'), packet('data', 'FA', said + 4, 6)]
  }
}
