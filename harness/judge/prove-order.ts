import type { PacketObservation } from '../evidence/observation.ts'
import type { Order, OrderProof } from '../modes/path.ts'
import { fillFlow } from './bind.ts'
import { contradicted, missing, proven, type Scene, sharesAnEnd } from './proof.ts'
import type { ProofVerdict } from './verdict.ts'

const words: Record<Order, string> = {
  'server-speaks-first': 'the server speaks before the client',
  'client-ends-first': 'the client ends its side, then the server speaks, then it ends too',
  'server-ends-first': 'the server ends its side, then the client speaks, then it ends too',
}

type Event = 'client speaks' | 'client ends' | 'server speaks' | 'server ends'
interface Told {
  readonly event: Event
  readonly packet: PacketObservation
}

/** Which events must come in which order, and which must not come before the first of them. */
const orders: Record<Order, { readonly events: readonly Event[]; readonly notBefore?: Event }> = {
  'server-speaks-first': { events: ['server speaks', 'client speaks'], notBefore: 'client speaks' },
  'client-ends-first': { events: ['client ends', 'server speaks', 'server ends'], notBefore: 'server speaks' },
  'server-ends-first': { events: ['server ends', 'client speaks', 'client ends'], notBefore: 'client ends' },
}

/** The packets of both directions at one device, in the order in which they came by. */
export function proveOrder(proof: OrderProof, scene: Scene): ProofVerdict {
  const forward = fillFlow(proof.forward, scene.variables)
  const backward = fillFlow(proof.backward, scene.variables)
  const expected = `${words[proof.order]}, at ${proof.netns}/${proof.dev}`
  // lo shows each packet twice: as it comes in is as the other side gets it.
  const here = scene.evidence
    .in('packet', proof, scene.window)
    .filter((p) => p.dev === proof.dev && p.protocol === 'tcp' && (proof.dev !== 'lo' || p.direction === 'in'))
  const goes = (p: PacketObservation, f: { from: string; to: string }) => p.from === f.from && p.to === f.to
  const reset = here.find((p) => p.flags.includes('R') && (goes(p, forward) || goes(p, backward)))
  if (reset) return contradicted(proof.kind, expected, `a reset ${reset.from} → ${reset.to}`, [reset.ref])
  const told = here.flatMap((packet): Told[] => {
    const side = goes(packet, forward) ? 'client' : goes(packet, backward) ? 'server' : undefined
    if (!side) return []
    const speaks: Told[] = packet.payloadLength > 0 ? [{ event: `${side} speaks`, packet }] : []
    return packet.flags.includes('F') ? [...speaks, { event: `${side} ends`, packet }] : speaks
  })
  const { events, notBefore } = orders[proof.order]
  const found: PacketObservation[] = []
  let at = -1
  for (const event of events) {
    at = told.findIndex((t, i) => i > at && t.event === event)
    if (at < 0) break
    if (found.length === 0) {
      const early = told.slice(0, at).find((t) => t.event === notBefore)
      if (early) return contradicted(proof.kind, expected, `before that, the ${early.event}`, [early.packet.ref])
    }
    found.push(told[at]!.packet)
  }
  if (found.length === events.length)
    return proven(
      proof.kind,
      expected,
      found.map((p) => p.ref),
    )
  // It ended, and the numbers leave no room for words that were only not seen.
  const ended = told.find((t, i) => i > told.findIndex((x) => x.packet === found.at(-1)) && t.event === events.at(-1))
  if (found.length === 1 && ended && !hasSpokenSince(found[0]!, ended.packet, here))
    return contradicted(proof.kind, expected, `the ${ended.event} without having spoken since`, [found[0]!.ref, ended.packet.ref])
  // What is missing may be there under another address.
  const [side, verb] = events[found.length]!.split(' ') as [string, string]
  const lacking = side === 'client' ? forward : backward
  const near = here.find(
    (p) =>
      !goes(p, forward) && !goes(p, backward) && sharesAnEnd(p, lacking) && (verb === 'ends' ? p.flags.includes('F') : p.payloadLength > 0),
  )
  return near ? contradicted(proof.kind, expected, `[${near.flags}] ${near.from} → ${near.to}`, [near.ref]) : missing(proof.kind, expected)
}

/** Whether bytes are missing between what one side had sent before a packet of the other, and its end. */
function hasSpokenSince(since: PacketObservation, end: PacketObservation, here: readonly PacketObservation[]): boolean {
  const before = here.slice(0, here.indexOf(since)).filter((p) => p.from === end.from && p.to === end.to)
  const last = before.at(-1)
  return !last || (last.seq + last.payloadLength + (last.flags.includes('S') ? 1 : 0)) >>> 0 !== (end.seq + end.payloadLength) >>> 0
}
