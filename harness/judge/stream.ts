import type { PacketObservation } from '../evidence/observation.ts'
import type { Device, Flow } from '../modes/path.ts'
import type { Evidence, Window } from './evidence.ts'

/** One direction of a connection as it was seen at one device: bytes in order, and whether they are all there. */
export interface Stream {
  readonly bytes: Buffer
  /** No gap, nothing cut by the capture, at least one byte. Only a complete stream can prove that something is not in it. */
  readonly complete: boolean
  readonly packets: readonly PacketObservation[]
}

/** @param start first sequence number of the stream if known (the SYN's plus one); else the lowest that was seen */
export function streamAt(evidence: Evidence, at: Device, { from, to }: Flow, window: Window): Stream {
  const here = evidence.in('packet', at, window).filter((p) => p.dev === at.dev && p.from === from && p.to === to)
  const data = here.filter((p) => p.payloadLength > 0)
  // lo shows each packet twice, going out and coming in: one side is enough.
  const direction = data.some((p) => p.direction === 'in') ? 'in' : 'out'
  const packets = data.filter((p) => p.direction === direction)
  const syn = here.find((p) => p.flags.includes('S'))
  return assemble(packets, syn ? (syn.seq + 1) >>> 0 : undefined)
}

/** TCP reassembly (RFC 9293 3.4: sequence numbers modulo 2^32); the first copy of a byte wins. */
export function assemble(packets: readonly PacketObservation[], start?: number): Stream {
  const first = start ?? packets[0]?.seq ?? 0
  const offset = (p: PacketObservation) => (p.seq - first) << 0
  const ordered = packets.toSorted((a, b) => offset(a) - offset(b))
  const parts: Uint8Array[] = []
  let next = 0
  let complete = packets.length > 0
  for (const p of ordered) {
    const at = offset(p)
    const end = at + p.payloadLength
    if (end <= next) continue
    if (at > next || p.payload.length < p.payloadLength) complete = false
    parts.push(p.payload.subarray(Math.max(0, next - at)))
    next = end
  }
  return { bytes: Buffer.concat(parts), complete, packets }
}
