import type { RingPacket } from './packet-ring.ts'

/** Payload of one direction of a connection that is written whole at its beginning and at its end, bytes. */
const headKept = 16 << 10
const tailKept = 16 << 10
/** Directions that are remembered at once; beyond that the oldest are let go of. With it, no more than 32 MB wait. */
const most = 1024
const ETHERTYPE_IPV4 = 0x0800
const IPPROTO_TCP = 6
const ethernetHeader = 14

interface Direction {
  head: number
  /** The last packets so far, copied out of the ring. */
  readonly held: { readonly packet: RingPacket; readonly payload: number; readonly headers: number }[]
  heldBytes: number
}

/**
 * Decides what of TCP connections that carry many bytes is written whole: from one settle() to the next the first and the last 16 KiB of payload each way at each device, of all packets between only the
 * headers. The last packets are known only later, so they wait here, and come out after others that were captured later. Shorter connections, and all that is not TCP over IPv4, go through as they come.
 */
export class LongFlows {
  readonly #directions = new Map<string, Direction>()
  readonly #write: (packet: RingPacket) => void

  constructor(write: (packet: RingPacket) => void) {
    this.#write = write
  }

  take(packet: RingPacket): void {
    if (!this.#hold(packet)) this.#write(packet)
  }

  /** Keeps it for later, if it is in the middle of a long connection, or might be the last. */
  #hold(packet: RingPacket): boolean {
    const { data } = packet
    if (data.length < ethernetHeader + 40 || data.readUInt16BE(12) !== ETHERTYPE_IPV4 || data[23] !== IPPROTO_TCP) return false
    const tcp = ethernetHeader + (data[14]! & 15) * 4
    const headers = tcp + (data[tcp + 12]! >> 4) * 4
    const payload = packet.length - headers
    if (payload <= 0) return false
    const key = `${packet.ifindex} ${packet.direction} ${data.toString('latin1', 26, 34)}${data.toString('latin1', tcp, tcp + 4)}`
    const direction = this.#directions.get(key) ?? this.#begin(key)
    if (direction.head < headKept) {
      direction.head += payload
      return false
    }
    direction.held.push({ packet: { ...packet, data: Buffer.from(data) }, payload, headers })
    direction.heldBytes += payload
    while (direction.heldBytes - direction.held[0]!.payload >= tailKept) {
      const { packet: middle, payload: bytes, headers: kept } = direction.held.shift()!
      direction.heldBytes -= bytes
      this.#write({ ...middle, data: middle.data.subarray(0, kept) })
    }
    return true
  }

  #begin(key: string): Direction {
    if (this.#directions.size >= most) {
      const [oldest, direction] = this.#directions.entries().next().value!
      this.#directions.delete(oldest)
      for (const { packet } of direction.held) this.#write(packet)
    }
    const direction: Direction = { head: 0, held: [], heldBytes: 0 }
    this.#directions.set(key, direction)
    return direction
  }

  /** What waits was last: writes it, and counts anew from here. */
  settle(): void {
    for (const { held } of this.#directions.values()) for (const { packet } of held) this.#write(packet)
    this.#directions.clear()
  }
}
