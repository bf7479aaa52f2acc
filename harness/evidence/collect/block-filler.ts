import { AF_PACKET, c, check, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW } from '../../../images/lib/libc.ts'
import { inNetns } from '../../../images/lib/netns.ts'

/** EtherType for local experiments (IEEE 802, "Local Experimental EtherType 1"): no protocol of the kernel takes such a frame, no netfilter hook sees it. */
export const fillerType = 0x88b5
const IFINDEX_LO = 1
/** lo's MTU and an Ethernet header: no frame on it is longer. */
const longest = 65_536 + 14
const frame = Buffer.alloc(longest)
frame.writeUInt16BE(fillerType, 12)

/**
 * Sends frames over lo of one namespace that are nobody's: they fill the block of a packet ring that is being filled, so that the kernel hands it over at once. It would do that by itself when a time
 * is over, but many rings with a short time are thousands of timers a second, and whoever waits for a packet would wait for that time.
 */
export class BlockFiller {
  readonly #fd: number
  readonly #frames: number

  /** @param blockSize of the ring, bytes */
  constructor(netns: number, blockSize: number) {
    // Protocol 0: sends only.
    this.#fd = inNetns(netns, () =>
      check('socket', c.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'AF_PACKET: CAP_NET_RAW is needed'),
    )
    // Each is in the ring as it goes out and as it comes in.
    this.#frames = Math.ceil(blockSize / (2 * longest))
    const address = Buffer.alloc(20)
    address.writeUInt16LE(AF_PACKET, 0)
    address.writeInt32LE(IFINDEX_LO, 4)
    try {
      check('bind', c.bind(this.#fd, address, address.length), 'AF_PACKET on lo')
    } catch (error) {
      c.close(this.#fd)
      throw error
    }
  }

  fill(): void {
    // Where lo takes none (down, or a smaller MTU) the ring's own time goes on.
    for (let i = 0; i < this.#frames; i++) c.send(this.#fd, frame, frame.length, 0)
  }

  close(): void {
    c.close(this.#fd)
  }
}
