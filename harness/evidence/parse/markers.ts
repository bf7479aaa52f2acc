import type { MarkerObservation, PacketObservation } from '../observation.ts'
import type { ParsedTrace } from './traces.ts'

/** Where a collector sends its markers, over lo: the discard port (RFC 863). */
const MARKER_TARGET = '127.0.0.1:9'
/** A traced transport header has 20 bytes: UDP's 8, and so many of the marker. */
const MARKER_LENGTH = 12
const UDP_HEADER = 8

/** The first sighting of each marker in each namespace's packets. */
export function markersInPackets(packets: Iterable<PacketObservation>): MarkerObservation[] {
  const found = new Map<string, MarkerObservation>()
  for (const packet of packets) {
    if (packet.protocol !== 'udp' || packet.to !== MARKER_TARGET) continue
    add(found, packet, 'packets', packet.payload)
  }
  return [...found.values()]
}

/** The first sighting of each marker in each namespace's rule traces. */
export function markersInTraces(traces: Iterable<ParsedTrace>): MarkerObservation[] {
  const found = new Map<string, MarkerObservation>()
  for (const { observation, transport } of traces) {
    if (!transport || observation.protocol !== 'udp' || observation.to !== MARKER_TARGET) continue
    add(found, observation, 'traces', transport.subarray(UDP_HEADER))
  }
  return [...found.values()]
}

function add(
  found: Map<string, MarkerObservation>,
  seen: { ref: string; node: string; netns: string; t: number },
  stream: MarkerObservation['stream'],
  payload: Uint8Array,
): void {
  const id = Buffer.from(payload.subarray(0, MARKER_LENGTH)).toString('latin1')
  const key = `${seen.node}/${seen.netns} ${id}`
  if (!/^[!-~]{12}$/.test(id) || found.has(key)) return
  found.set(key, { kind: 'marker', ref: seen.ref, node: seen.node, netns: seen.netns, t: seen.t, stream, id })
}
