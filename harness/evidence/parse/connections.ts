import type { PacketObservation } from '../observation.ts'
import { reassemble, type TcpStream } from './stream.ts'

/** A TCP connection as seen at one vantage point. */
export interface Connection {
  /** Who sent the SYN; without a SYN seen, who did not send the SYN+ACK, else who was seen first. */
  readonly client: string
  readonly server: string
  /** In capture order, both directions. */
  readonly packets: readonly PacketObservation[]
  readonly toServer: TcpStream
  readonly toClient: TcpStream
}

interface Open {
  client: string
  server: string
  isn: number | undefined
  packets: PacketObservation[]
}

/** A vantage point: a namespace and an interface in it. */
export function vantageOf(packet: PacketObservation): string {
  return `${packet.node}/${packet.netns}/${packet.dev}`
}

/**
 * Sorts TCP packets into connections, one for each vantage point, and reassembles them. A SYN with another initial sequence number begins a new connection
 * on the same 5-tuple. Where NAT shows the two directions with different addresses (a redirected connection on `lo`: to 127.0.0.1:15001, but back from the
 * server's address), each direction is a connection of its own, with one stream empty. On `lo`, where each packet is seen going out and coming in, only the sightings going out count.
 * @param packets in capture order
 */
export function connections(packets: Iterable<PacketObservation>): Connection[] {
  const open = new Map<string, Open>()
  const all: Open[] = []
  for (const packet of packets) {
    if (packet.protocol !== 'tcp' || (packet.dev === 'lo' && packet.direction === 'in')) continue
    const { from, to } = packet
    const key = `${vantageOf(packet)} ${from < to ? `${from} ${to}` : `${to} ${from}`}`
    const opening = packet.flags.includes('S')
    const answer = opening && packet.flags.includes('A')
    let connection = open.get(key)
    if (!connection || (opening && !answer && connection.isn !== packet.seq)) {
      connection = { client: answer ? to : from, server: answer ? from : to, isn: opening && !answer ? packet.seq : undefined, packets: [] }
      open.set(key, connection)
      all.push(connection)
    }
    connection.packets.push(packet)
  }
  return all.map(assemble)
}

function assemble({ client, server, packets }: Open): Connection {
  const there = packets.filter((packet) => packet.from === client && packet.to === server)
  // A connection to itself (simultaneous open of one socket) has only one direction.
  const back = client === server ? [] : packets.filter((packet) => packet.from === server)
  return { client, server, packets, toServer: reassemble(there, acknowledged(back)), toClient: reassemble(back, acknowledged(there)) }
}

/** The highest acknowledgement, in the order of sequence numbers, which wrap. */
function acknowledged(packets: readonly PacketObservation[]): number | undefined {
  let highest: number | undefined
  for (const { flags, ack } of packets) {
    if (!flags.includes('A') || flags.includes('R')) continue
    if (highest === undefined || ((ack - highest) | 0) > 0) highest = ack
  }
  return highest
}
