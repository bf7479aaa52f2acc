import { frameKind } from '../frames.ts'
import { PcapngWriter } from '../pcapng-write.ts'
import type { Interfaces } from './interfaces.ts'
import { LoadSearch, type Spared } from './load-search.ts'
import { LongFlows } from './long-flows.ts'
import { markerInPacket } from './marker.ts'
import type { Output } from './output.ts'
import { PacketRing, type RingPacket, type RingSize } from './packet-ring.ts'
import { withoutPackets } from './socket-filter.ts'

const LINKTYPE_ETHERNET = 1
const LINKTYPE_RAW = 101
const ARPHRD_ETHER = 1
const ARPHRD_LOOPBACK = 772

/** The node's one packet file: an interface block before the first packet of each (namespace, interface). */
export class PacketFile {
  readonly #output: Output
  readonly #node: string
  readonly #writer = new PcapngWriter()
  readonly #ids = new Map<string, number>()
  #pieces: Buffer[]

  constructor(output: Output, node: string) {
    this.#output = output
    this.#node = node
    this.#pieces = [this.#writer.header()]
    this.flush()
  }

  add(netns: string, dev: string, packet: RingPacket): void {
    const ethernet = packet.hardware === ARPHRD_ETHER || packet.hardware === ARPHRD_LOOPBACK
    const name = `${this.#node}/${netns}/${dev}`
    let interfaceId = this.#ids.get(name)
    if (interfaceId === undefined) {
      const made = this.#writer.interface(name, ethernet ? LINKTYPE_ETHERNET : LINKTYPE_RAW)
      interfaceId = made.id
      this.#ids.set(name, interfaceId)
      this.#pieces.push(made.block)
    }
    const tNs = BigInt(packet.seconds) * 1_000_000_000n + BigInt(packet.nanoseconds)
    const { data, length, direction } = packet
    this.#pieces.push(this.#writer.packet({ interfaceId, tNs, data, originalLength: length, direction }))
  }

  /** Hands what was added over, as one frame. */
  flush(): void {
    if (this.#pieces.length === 0) return
    this.#output.send(frameKind.packets, Buffer.concat(this.#pieces))
    this.#pieces = []
  }
}

/** Packets of one namespace, on their way into the node's packet file. */
export class Packets {
  readonly #ring: PacketRing
  readonly #netns: string
  readonly #interfaces: Interfaces
  readonly #file: PacketFile
  readonly #output: Output
  readonly #onMarker: (marker: string) => void
  #search: LoadSearch | undefined
  readonly #long: LongFlows
  #truncated = { packets: 0, bytes: 0 }

  /** @param label name of the namespace in the bundle */
  constructor(
    netns: number,
    label: string,
    size: RingSize,
    interfaces: Interfaces,
    file: PacketFile,
    output: Output,
    onMarker: (marker: string) => void,
  ) {
    this.#ring = new PacketRing(netns, size)
    this.#netns = label
    this.#interfaces = interfaces
    this.#file = file
    this.#output = output
    this.#onMarker = onMarker
    this.#long = new LongFlows((packet) => this.#write(packet))
    this.#ring.watch(() => this.drain())
  }

  drain(): void {
    if (this.#output.blocked) return
    const markers: string[] = []
    this.#ring.drain(
      (packet) => {
        const dev = this.#interfaces.name(packet.ifindex)
        if (this.#search?.take(packet, dev) !== 'read') this.#long.take(packet)
        const marker = packet.direction === 'in' ? markerInPacket(packet.data) : undefined
        if (marker !== undefined) markers.push(marker)
      },
      () => this.#file.flush(),
    )
    for (const marker of markers) this.#onMarker(marker)
  }

  #write(packet: RingPacket): void {
    this.#file.add(this.#netns, this.#interfaces.name(packet.ifindex), packet)
    const cut = packet.length - packet.data.length
    if (cut <= 0) return
    this.#truncated.packets++
    this.#truncated.bytes += cut
  }

  /** Has packets that came until now handed over at once instead of a little later. */
  push(): void {
    this.#ring.push()
  }

  /** Hands over all that came until now; writes what was held back as the last of its connection, and counts each connection's bytes anew. */
  settle(): void {
    this.push()
    this.drain()
    this.#long.settle()
    this.#file.flush()
  }

  /** Packets that were not written whole since this was last asked, and the bytes that they lack. */
  takeTruncated(): { readonly packets: number; readonly bytes: number } {
    const taken = this.#truncated
    this.#truncated = { packets: 0, bytes: 0 }
    return taken
  }

  /** Leaves the packets of these flows out, or reads them without writing them down; undefined: all are written. */
  spare(spared: Spared | undefined): void {
    // What is in the ring came before.
    this.push()
    this.drain()
    this.#search =
      spared?.search === undefined ? undefined : new LoadSearch(this.#netns, { ...spared, search: spared.search }, this.#output)
    this.#ring.filter(spared && !this.#search ? withoutPackets(spared.clients) : undefined)
  }

  takeLost(): number {
    return this.#ring.takeLost()
  }

  close(): void {
    this.#ring.close()
  }
}
