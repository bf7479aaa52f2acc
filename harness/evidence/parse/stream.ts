import type { PacketObservation } from '../observation.ts'

/** A stretch of stream bytes and the packet that brought it first. */
export interface Piece {
  /** Offset in the stream. */
  readonly start: number
  readonly bytes: Uint8Array
  readonly packet: PacketObservation
}

/** A contiguous stretch of known bytes; `end` is exclusive. */
export interface Run {
  readonly start: number
  readonly end: number
  readonly pieces: readonly Piece[]
}

/** Bytes that were sent but are not known: their packet was captured short (`truncated`), or not at all (`missing`). `end` is exclusive. */
export interface Gap {
  readonly start: number
  readonly end: number
  readonly reason: 'missing' | 'truncated'
}

/** One direction of a TCP connection, put together from packets of one vantage point. */
export interface TcpStream {
  readonly from: string
  readonly to: string
  readonly runs: readonly Run[]
  readonly gaps: readonly Gap[]
  /** Bytes from offset 0 to the last one that is known to have been sent. */
  readonly length: number
  /** The SYN was seen, so offset 0 is the byte after it. Otherwise 0 is the first byte seen. */
  readonly started: boolean
  readonly ended: 'fin' | 'rst' | 'open'
  /** Beginning seen and no gap: every byte up to `length` is in `runs`. */
  readonly complete: boolean
  /** Packets whose bytes differ from those that another packet had at the same place; the first one's are in `runs`. */
  readonly conflicts: readonly PacketObservation[]
}

interface Placed {
  readonly start: number
  readonly packet: PacketObservation
}

/**
 * Puts one direction of one connection together.
 * @param packets TCP packets of one direction of a 5-tuple at one vantage point in capture order (of `lo`, where each is seen twice, one direction)
 * @param acknowledged the highest sequence number that the other side acknowledged, if known: what was sent before it and not seen is a gap
 */
export function reassemble(packets: readonly PacketObservation[], acknowledged?: number): TcpStream {
  const syn = packets.find((packet) => packet.flags.includes('S'))
  const reference = syn ? syn.seq + 1 : (packets[0]?.seq ?? 0)
  let highest = 0
  // Sequence numbers wrap at 2³²: each is taken as the offset that is nearest to what came before.
  const offsetOf = (seq: number) => highest + ((seq - reference - highest) | 0)
  const placed: Placed[] = []
  let end = 0
  let fin: number | undefined
  let reset = false
  for (const packet of packets) {
    if (packet.flags.includes('R')) {
      reset = true
      continue
    }
    const start = offsetOf(packet.flags.includes('S') ? packet.seq + 1 : packet.seq)
    const after = start + packet.payloadLength
    if (packet.flags.includes('F')) fin = after
    if (packet.payloadLength > 0) placed.push({ start, packet })
    highest = Math.max(highest, after)
    end = Math.max(end, fin ?? 0)
  }
  if (acknowledged !== undefined) end = Math.max(end, Math.min(offsetOf(acknowledged), fin ?? Number.POSITIVE_INFINITY))
  placed.sort((a, b) => a.start - b.start)
  const base = syn ? 0 : (placed[0]?.start ?? end)
  const sweep = new Sweep(base)
  for (const { start, packet } of placed) sweep.add(start, packet)
  sweep.finish(end)
  return {
    from: packets[0]?.from ?? '',
    to: packets[0]?.to ?? '',
    runs: sweep.runs,
    gaps: sweep.gaps,
    length: sweep.known - base,
    started: syn !== undefined,
    ended: fin !== undefined ? 'fin' : reset ? 'rst' : 'open',
    complete: syn !== undefined && sweep.gaps.length === 0,
    conflicts: sweep.conflicts,
  }
}

/** Goes over the segments in stream order, once, keeping what is known and what is not. */
class Sweep {
  readonly runs: { start: number; end: number; pieces: Piece[] }[] = []
  readonly gaps: Gap[] = []
  readonly conflicts: PacketObservation[] = []
  /** Everything before is decided: in a run or in a gap. */
  known: number
  /** Everything before was on the wire in some seen packet. */
  #wireEnd: number
  readonly #base: number

  constructor(base: number) {
    this.#base = base
    this.known = base
    this.#wireEnd = base
  }

  add(start: number, packet: PacketObservation): void {
    const { payload } = packet
    if (start > this.known) this.#gap(start)
    const overlap = Math.min(this.known - start, payload.length)
    if (overlap > 0 && this.#differs(start, payload.subarray(0, overlap))) this.conflicts.push(packet)
    const fresh = payload.subarray(this.known - start)
    if (fresh.length > 0) {
      const piece = { start: this.known - this.#base, bytes: fresh, packet }
      const last = this.runs.at(-1)
      if (last?.end === piece.start) {
        last.pieces.push(piece)
        last.end += fresh.length
      } else this.runs.push({ start: piece.start, end: piece.start + fresh.length, pieces: [piece] })
      this.known += fresh.length
    }
    this.#wireEnd = Math.max(this.#wireEnd, start + packet.payloadLength)
  }

  finish(end: number): void {
    this.#gap(Math.max(end, this.#wireEnd))
  }

  #gap(end: number): void {
    const cut = Math.min(end, this.#wireEnd)
    if (cut > this.known) this.gaps.push({ start: this.known - this.#base, end: cut - this.#base, reason: 'truncated' })
    const from = Math.max(this.known, cut)
    if (end > from) this.gaps.push({ start: from - this.#base, end: end - this.#base, reason: 'missing' })
    this.known = Math.max(this.known, end)
  }

  /** Whether bytes at an absolute offset differ from those that are known there. */
  #differs(start: number, bytes: Uint8Array): boolean {
    const from = start - this.#base
    for (let r = this.runs.length - 1; r >= 0 && this.runs[r]!.end > from; r--) {
      const { pieces } = this.runs[r]!
      for (let p = pieces.length - 1; p >= 0; p--) {
        const piece = pieces[p]!
        if (piece.start + piece.bytes.length <= from) break
        const lo = Math.max(from, piece.start)
        const hi = Math.min(from + bytes.length, piece.start + piece.bytes.length)
        if (hi > lo && Buffer.compare(bytes.subarray(lo - from, hi - from), piece.bytes.subarray(lo - piece.start, hi - piece.start)) !== 0)
          return true
      }
    }
    return false
  }
}

const joined = new WeakMap<Run, Buffer>()

/** The bytes of a run in one piece (kept once made). */
export function runBytes(run: Run): Buffer {
  let bytes = joined.get(run)
  if (!bytes) {
    bytes = Buffer.concat(run.pieces.map((piece) => piece.bytes))
    joined.set(run, bytes)
  }
  return bytes
}

/** The packets that brought the stream's bytes from `start` to before `end`, in stream order. */
export function packetsOf(stream: TcpStream, start: number, end: number): PacketObservation[] {
  const found: PacketObservation[] = []
  for (const run of stream.runs) {
    if (run.end <= start || run.start >= end) continue
    let low = 0
    let high = run.pieces.length
    while (low < high) {
      const middle = (low + high) >> 1
      const piece = run.pieces[middle]!
      if (piece.start + piece.bytes.length <= start) low = middle + 1
      else high = middle
    }
    for (; low < run.pieces.length && run.pieces[low]!.start < end; low++) found.push(run.pieces[low]!.packet)
  }
  return found
}
