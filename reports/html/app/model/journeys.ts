import type { PacketEvidence, ReportCase } from '../../report.ts'
import { type Line, vantageOf } from './stations.ts'

/** One packet on its way: everywhere it was seen, in order. */
export interface Journey {
  readonly leg: number
  /** From the leg's beginning to its end, or back. */
  readonly forward: boolean
  /** Where it was seen, in the order of time; `station` −1: at none of the path. */
  readonly sights: readonly Sight[]
  /**
   * How far it is known to have come: `through` its leg; to its last `device`, behind which something is broken; or it got `lost` before.
   * And whether it is known to have come from the process where its leg begins.
   */
  readonly reach: 'through' | 'device' | 'lost'
  readonly begun: boolean
  /** Numbers of the hops that rest on it, and of those that ask for this very packet. */
  readonly hops: readonly number[]
  readonly named: readonly number[]
  readonly label: string
}

export interface Sight {
  readonly station: number
  /** Index in `Report.evidence`. */
  readonly index: number
  readonly packet: PacketEvidence
}

/** The same bytes of a connection again after this long are sent anew. Microseconds. */
const SENT_ANEW = 50_000

/** The packets of a case, each once however often it was seen, oldest first. */
export function journeysOf(c: Pick<ReportCase, 'packets' | 'legs'>, line: Line, packetAt: (index: number) => PacketEvidence): Journey[] {
  const all = c.packets.map(([index, leg]) => ({ index, leg, packet: packetAt(index) }))
  const packets = new Map(all.map((x) => [x.index, x.packet]))
  const citedBy = hopsByPacket(line, packets, ['packet', 'token'])
  const namedBy = hopsByPacket(line, packets, ['packet'])
  const starters = c.legs.map((_, l) => startersOf(all.filter((x) => x.leg === l).map((x) => x.packet)))
  const open = new Map<string, { leg: number; forward: boolean; sights: Sight[] }>()
  const journeys: { leg: number; forward: boolean; sights: Sight[] }[] = []
  for (const { index, leg, packet } of all) {
    const forward = leg < 0 || starters[leg]!.has(packet.from) || !starters[leg]!.has(packet.to)
    const key = [leg, forward, packet.proto, packet.seq, packet.ack, packet.flags, packet.len].join(' ')
    const sight: Sight = { station: stationOf(line, leg, packet), index, packet }
    const journey = open.get(key)
    const again = journey?.sights.some((s) => s.packet.at === packet.at && s.packet.dir === packet.dir)
    if (journey && !again && packet.t - journey.sights.at(-1)!.packet.t < SENT_ANEW) journey.sights.push(sight)
    else {
      const begun = { leg, forward, sights: [sight] }
      open.set(key, begun)
      journeys.push(begun)
    }
  }
  return journeys.map((j) => ({
    ...j,
    ...reachOf(j, line),
    hops: numbersOf(j.sights, citedBy),
    named: numbersOf(j.sights, namedBy),
    label: packetLabel(j.sights[0]!.packet),
  }))
}

const numbersOf = (sights: readonly Sight[], by: ReadonlyMap<number, number[]>) =>
  [...new Set(sights.flatMap((s) => by.get(s.index) ?? []))].sort((a, b) => a - b)

/** Who opened the connection, or spoke first where the opening is not here. */
function startersOf(packets: readonly PacketEvidence[]): Set<string> {
  const opening = packets.filter((p) => p.flags === 'S')
  const first = packets.find((p) => p.len > 0)
  return new Set(opening.length > 0 ? opening.map((p) => p.from) : first ? [first.from] : [])
}

function stationOf(line: Line, leg: number, packet: PacketEvidence): number {
  const at = vantageOf(packet.at)
  const span = line.legs[leg] ?? { from: 0, to: line.stations.length - 1 }
  return line.stations.findIndex((s, i) => i >= span.from && i <= span.to && s.dev === at.dev && s.node === at.node && s.netns === at.netns)
}

function reachOf(
  { leg, forward, sights }: { leg: number; forward: boolean; sights: readonly Sight[] },
  line: Line,
): Pick<Journey, 'reach' | 'begun'> {
  const span = line.legs[leg]
  if (!span) return { reach: 'lost', begun: false }
  const devices = line.stations.flatMap((s, i) => (s.kind === 'device' && i > span.from && i < span.to ? [i] : []))
  const last = forward ? devices.at(-1) : devices[0]
  // On a loopback device it is seen twice: only coming in did it arrive.
  const loopback = last !== undefined && line.stations[last]!.dev === 'lo'
  const arrived = sights.some((s) => s.station === last && (!loopback || s.packet.dir === 'in'))
  const sound = (station: number) => line.hops.every((h) => h.leg !== leg || h.station !== station || h.hop.verdict === 'pass')
  const [begin, end] = forward ? [span.from, span.to] : [span.to, span.from]
  return { reach: !arrived ? 'lost' : sound(end) ? 'through' : 'device', begun: sound(begin) }
}

/** A hop may rest on packets of other places too, from which its ports are known: those are not its own. */
function hopsByPacket(line: Line, packets: ReadonlyMap<number, PacketEvidence>, kinds: readonly string[]): Map<number, number[]> {
  const found = new Map<number, number[]>()
  for (const { number, hop } of line.hops) {
    for (const proof of hop.proofs) {
      if (!kinds.includes(proof.kind)) continue
      for (const ref of proof.refs) {
        if (`${packets.get(ref)?.at}/`.startsWith(`${hop.vantage}/`)) found.set(ref, [...(found.get(ref) ?? []), number])
      }
    }
  }
  return found
}

const FLAGS: Readonly<Record<string, string>> = {
  S: 'SYN',
  SA: 'SYN, ACK',
  A: 'ACK',
  FA: 'FIN, ACK',
  AF: 'FIN, ACK',
  R: 'RST',
  AR: 'RST, ACK',
  RA: 'RST, ACK',
}

/** A packet in two words. */
export function packetLabel(p: PacketEvidence): string {
  if (p.info) return p.info
  return p.proto === 'tcp' ? (FLAGS[p.flags] ?? p.flags) : p.proto.toUpperCase()
}
