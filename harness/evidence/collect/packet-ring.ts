import koffi from 'koffi'
import { AF_PACKET, c, check, int32, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW, SystemError } from '../../../images/lib/libc.ts'
import { inNetns } from '../../../images/lib/netns.ts'
import { watchReadable } from '../../../images/lib/poll.ts'
import { BlockFiller, fillerType } from './block-filler.ts'
import { allPackets, type Program, setFilter } from './socket-filter.ts'

// include/uapi/linux/if_packet.h
const SOL_PACKET = 263
const PACKET_RX_RING = 5
const PACKET_STATISTICS = 6
const PACKET_VERSION = 10
const TPACKET_V3 = 2
const TP_STATUS_USER = 1
const PACKET_OUTGOING = 4
const ETH_P_ALL = 3
/** include/uapi/linux/if_arp.h */
const ARPHRD_LOOPBACK = 772
/** Where an Ethernet frame tells its type. */
const etherType = 12
const PROT_READ_WRITE = 3
const MAP_SHARED = 1
/** struct tpacket_block_desc: status, number of packets, offset of the first. */
const blockStatus = 8
const blockPackets = 12
const blockFirst = 16
/** struct tpacket3_hdr, then sockaddr_ll, which starts 48 bytes into it. */
const header = {
  next: 0,
  seconds: 4,
  nanoseconds: 8,
  captured: 12,
  length: 16,
  mac: 24,
  ifindex: 48 + 4,
  hardware: 48 + 8,
  packetType: 48 + 10,
} as const

export interface RingSize {
  /** Bytes of a block; a whole GSO packet (64 KB and headers) must fit. */
  readonly blockSize: number
  readonly blocks: number
  /** A block with packets in it is handed over after this time even when it is not full, milliseconds. */
  readonly retireAfter: number
}

/**
 * 6 MB of kernel memory a namespace. A block is handed over after 100 ms even when it holds one packet, so blocks are time as well as room. Each ring is a timer in the kernel, which interrupts whatever
 * runs: a shorter time costs all that is measured beside it. Whoever cannot wait calls push().
 */
export const defaultRing: RingSize = { blockSize: 128 << 10, blocks: 48, retireAfter: 100 }

/** One packet in the ring; `data` is a view that is valid only until the handler returns. */
export interface RingPacket {
  readonly ifindex: number
  /** ARPHRD_*: 1 Ethernet, 772 loopback (which has an Ethernet header of zeros as well). */
  readonly hardware: number
  readonly direction: 'in' | 'out'
  readonly seconds: number
  readonly nanoseconds: number
  readonly data: Buffer
  /** Length on the wire. */
  readonly length: number
}

/**
 * All packets of all interfaces of one network namespace, whole up to 16 KiB (of larger ones the headers), with link-layer headers, in the order the kernel saw them: an AF_PACKET socket with a TPACKET_V3 ring
 * (Documentation/networking/packet_mmap.rst). Interfaces that appear later are in it from their first packet on.
 */
export class PacketRing {
  readonly #fd: number
  readonly #filler: BlockFiller
  readonly #size: RingSize
  readonly #memory: unknown
  readonly #bytes: Buffer
  #block = 0
  #stop: (() => void) | undefined
  #closed = false

  constructor(netns: number, size: RingSize = defaultRing) {
    this.#size = size
    // Protocol 0: nothing is captured before the ring is there.
    const fd = inNetns(netns, () =>
      check('socket', c.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'AF_PACKET: CAP_NET_RAW is needed'),
    )
    this.#fd = fd
    try {
      check('setsockopt', c.setsockopt(fd, SOL_PACKET, PACKET_VERSION, int32(TPACKET_V3), 4), 'TPACKET_V3')
      const frame = 2048
      const ring = Buffer.alloc(28)
      for (const [i, value] of [size.blockSize, size.blocks, frame, (size.blockSize / frame) * size.blocks, size.retireAfter].entries())
        ring.writeUInt32LE(value, i * 4)
      check(
        'setsockopt',
        c.setsockopt(fd, SOL_PACKET, PACKET_RX_RING, ring, ring.length),
        `PACKET_RX_RING of ${size.blocks} × ${size.blockSize} bytes`,
      )
      const total = size.blockSize * size.blocks
      this.#memory = c.mmap(null, total, PROT_READ_WRITE, MAP_SHARED, fd, 0)
      if (koffi.address(this.#memory) === 0xffffffffffffffffn) throw new SystemError('mmap', koffi.errno(), 'packet ring')
      this.#bytes = Buffer.from(koffi.view(this.#memory, total))
      setFilter(fd, allPackets())
      const address = Buffer.alloc(20)
      address.writeUInt16LE(AF_PACKET, 0)
      address.writeUInt16BE(ETH_P_ALL, 2)
      check('bind', c.bind(fd, address, address.length), 'AF_PACKET, all interfaces')
      this.#filler = new BlockFiller(netns, size.blockSize)
    } catch (error) {
      c.close(fd)
      throw error
    }
  }

  /** Calls `onReadable` when a block is ready; it must call drain(). */
  watch(onReadable: () => void): void {
    this.#stop = watchReadable(this.#fd, onReadable)
  }

  /** Has the kernel finish the block that it is filling: what came before is in finished blocks then. */
  push(): void {
    this.#filler.fill()
  }

  /**
   * Hands over all packets of all finished blocks, and the blocks back to the kernel.
   * @param onBlock called after the last packet of each block
   */
  drain(onPacket: (packet: RingPacket) => void, onBlock: () => void): void {
    while (!this.#closed) {
      const start = this.#block * this.#size.blockSize
      const b = this.#bytes
      if ((b.readUInt32LE(start + blockStatus) & TP_STATUS_USER) === 0) return
      let at = start + b.readUInt32LE(start + blockFirst)
      for (let left = b.readUInt32LE(start + blockPackets); left > 0; left--) {
        const data = at + b.readUInt16LE(at + header.mac)
        const hardware = b.readUInt16LE(at + header.hardware)
        if (hardware !== ARPHRD_LOOPBACK || b.readUInt16BE(data + etherType) !== fillerType)
          onPacket({
            ifindex: b.readInt32LE(at + header.ifindex),
            hardware,
            direction: b[at + header.packetType] === PACKET_OUTGOING ? 'out' : 'in',
            seconds: b.readUInt32LE(at + header.seconds),
            nanoseconds: b.readUInt32LE(at + header.nanoseconds),
            data: b.subarray(data, data + b.readUInt32LE(at + header.captured)),
            length: b.readUInt32LE(at + header.length),
          })
        at += b.readUInt32LE(at + header.next)
      }
      b.writeUInt32LE(0, start + blockStatus)
      this.#block = (this.#block + 1) % this.#size.blocks
      onBlock()
    }
  }

  /** Leaves packets out before they need room; undefined: none any more. */
  filter(program: Program | undefined): void {
    setFilter(this.#fd, program ?? allPackets())
  }

  /** Packets that found no room since this was last asked. */
  takeLost(): number {
    const statistics = Buffer.alloc(12)
    check('getsockopt', c.getsockopt(this.#fd, SOL_PACKET, PACKET_STATISTICS, statistics, [12] as unknown as number), 'PACKET_STATISTICS')
    return statistics.readUInt32LE(4)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#stop?.()
    this.#filler.close()
    setImmediate(() => {
      c.munmap(this.#memory, this.#size.blockSize * this.#size.blocks)
      c.close(this.#fd)
    })
  }
}
