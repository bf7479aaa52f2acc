import type { PacketObservation } from '../observation.ts'
import { connections } from './connections.ts'
import { packetsOf, runBytes, type TcpStream } from './stream.ts'

/** Where a token was found: the packets that carried it, in stream order, and the offset in the stream (in the payload, if one packet had all of it). */
export interface Hit {
  readonly offset: number
  readonly packets: readonly PacketObservation[]
}

/** Every place of a reassembled stream where the token's bytes are. A token across a gap cannot be found: see `complete`. */
export function findToken(stream: TcpStream, token: string | Uint8Array): Hit[] {
  const wanted = needle(token)
  return stream.runs.flatMap((run) =>
    places(runBytes(run), wanted).map((at) => {
      const offset = run.start + at
      return { offset, packets: packetsOf(stream, offset, offset + wanted.length) }
    }),
  )
}

/**
 * Every place in the packets of any protocol where the token is: inside one payload, or, in TCP, over several packets of a connection at one vantage point.
 * A packet that was seen more than once (at several vantage points, twice on `lo`) is a hit each time.
 * @param packets in capture order
 */
export function findTokenInPackets(packets: readonly PacketObservation[], token: string | Uint8Array): Hit[] {
  const wanted = needle(token)
  const hits: Hit[] = []
  for (const packet of packets) {
    const { buffer, byteOffset, length } = packet.payload
    if (length < wanted.length) continue
    for (const offset of places(Buffer.from(buffer, byteOffset, length), wanted)) hits.push({ offset, packets: [packet] })
  }
  for (const { toServer, toClient } of connections(packets)) {
    for (const stream of [toServer, toClient]) hits.push(...findToken(stream, wanted).filter((hit) => hit.packets.length > 1))
  }
  return hits
}

function needle(token: string | Uint8Array): Buffer {
  const bytes = Buffer.from(token)
  if (bytes.length === 0) throw new RangeError('an empty token is everywhere: give the token that the request carried')
  return bytes
}

function places(bytes: Buffer, wanted: Buffer): number[] {
  const found: number[] = []
  for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 1)) found.push(at)
  return found
}
