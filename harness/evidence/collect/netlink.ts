import {
  AF_NETLINK,
  c,
  check,
  EAGAIN,
  EINTR,
  ENOBUFS,
  errno,
  int32,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  SystemError,
} from '../../../images/lib/libc.ts'
import { inNetns } from '../../../images/lib/netns.ts'
import { watchReadable } from '../../../images/lib/poll.ts'

/** Netlink protocols (include/uapi/linux/netlink.h). */
export const NETLINK_ROUTE = 0
export const NETLINK_SOCK_DIAG = 4
export const NETLINK_NETFILTER = 12

const SOL_NETLINK = 270
const NETLINK_ADD_MEMBERSHIP = 1
const NETLINK_DROP_MEMBERSHIP = 2
const SO_RCVBUFFORCE = 33
const ENOENT = 2
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const NLM_F_REQUEST = 1
const NLM_F_ACK = 4
const NLM_F_DUMP = 0x300
const NLM_F_DUMP_INTR = 0x10
const header = 16

/** One message: its type, what follows its header (a view that is valid only until the handler returns), and its flags (NLM_F_*). */
export type MessageHandler = (type: number, body: Buffer, flags: number) => void

// One for all sockets: every receive is drained and decoded before the next.
const buffer = Buffer.alloc(1 << 20)

/** A netlink socket in some network namespace, listening to multicast groups. */
export class NetlinkSocket {
  readonly #fd: number
  readonly #protocol: number
  readonly #groups: readonly number[]
  #stop: (() => void) | undefined
  #overruns = 0

  /**
   * @param netns open namespace descriptor
   * @param groups multicast groups by number
   * @param receiveBuffer what the kernel may queue while nobody reads, bytes
   */
  constructor(netns: number, protocol: number, groups: readonly number[], receiveBuffer = 4 << 20) {
    const fd = inNetns(netns, () => check('socket', c.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol), 'netlink'))
    this.#fd = fd
    this.#protocol = protocol
    this.#groups = groups
    try {
      // Before the groups are joined: no event may find the small default queue.
      check('setsockopt', c.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, int32(receiveBuffer), 4), 'SO_RCVBUFFORCE: CAP_NET_ADMIN is needed')
      const address = Buffer.alloc(12)
      address.writeUInt16LE(AF_NETLINK, 0)
      check('bind', c.bind(fd, address, address.length), 'netlink')
      this.listen(true)
    } catch (error) {
      c.close(fd)
      throw error
    }
  }

  /** Calls `onReadable` when there is something to drain(), until close(). */
  watch(onReadable: () => void): void {
    this.#stop = watchReadable(this.#fd, onReadable)
  }

  /** Joins all of its groups, or leaves them: then the kernel makes no messages if nobody else is in them. What is queued stays. */
  listen(joined: boolean): void {
    const option = joined ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP
    for (const group of this.#groups)
      check('setsockopt', c.setsockopt(this.#fd, SOL_NETLINK, option, int32(group), 4), `netlink ${this.#protocol}, group ${group}`)
  }

  /** Hands over all that is queued now, or the messages of at most `limit` reads: what is left wakes the watcher again. */
  drain(onMessage: MessageHandler, limit = Number.POSITIVE_INFINITY): void {
    for (let reads = 0; reads < limit; reads++) {
      const length = this.#receive()
      if (length === 0) return
      for (let at = 0; at + header <= length; ) {
        const size = buffer.readUInt32LE(at)
        if (size < header || at + size > length) break
        onMessage(buffer.readUInt16LE(at + 4), buffer.subarray(at + header, at + size), buffer.readUInt16LE(at + 6))
        at += (size + 3) & ~3
      }
    }
  }

  #receive(): number {
    for (let strange = 0; ; ) {
      const n = Number(c.recv(this.#fd, buffer, buffer.length, 0))
      if (n >= 0) return n
      const code = errno()
      if (code === EAGAIN) return 0
      // The queue was full: the kernel dropped messages, it does not say how many.
      if (code === ENOBUFS) this.#overruns++
      // Between the call and the reading of errno the engine may have made calls of its own: only what stays is believed.
      else if (code !== EINTR && ++strange > 3) throw new SystemError('recv', code, 'netlink')
    }
  }

  /** How often the queue overflowed since this was last asked: at least that many messages are lost. */
  takeLost(): number {
    const lost = this.#overruns
    this.#overruns = 0
    return lost
  }

  /**
   * Sends one request and hands over all messages of its answer, synchronously (the kernel answers dumps inside the receive call).
   * Only for sockets without groups. Throws SystemError with the kernel's errno.
   */
  dump(type: number, body: Buffer, onMessage: MessageHandler): void {
    this.#request(type, NLM_F_REQUEST | NLM_F_DUMP, body)
    for (;;) {
      const length = this.#receive()
      if (length === 0) throw new Error(`netlink request ${type}: no answer`)
      for (let at = 0; at + header <= length; ) {
        const size = buffer.readUInt32LE(at)
        const kind = buffer.readUInt16LE(at + 4)
        const flags = buffer.readUInt16LE(at + 6)
        if (flags & NLM_F_DUMP_INTR) throw new DumpInterrupted()
        if (kind === NLMSG_DONE) return
        if (kind === NLMSG_ERROR) throw new SystemError(`netlink request ${type}`, -buffer.readInt32LE(at + header))
        onMessage(kind, buffer.subarray(at + header, at + size), flags)
        at += (size + 3) & ~3
      }
    }
  }

  /** Sends one request that one message answers; undefined when the kernel says that there is no such thing (ENOENT). Only for sockets without groups. */
  ask(type: number, body: Buffer): Buffer | undefined {
    this.#request(type, NLM_F_REQUEST, body)
    if (this.#receive() === 0) throw new Error(`netlink request ${type}: no answer`)
    const size = buffer.readUInt32LE(0)
    if (buffer.readUInt16LE(4) !== NLMSG_ERROR) return buffer.subarray(header, size)
    const code = -buffer.readInt32LE(header)
    if (code === ENOENT) return undefined
    throw new SystemError(`netlink request ${type}`, code)
  }

  /** Sends one request that is only acknowledged. To be called before anything else can arrive. Throws SystemError with the kernel's errno. */
  configure(type: number, body: Buffer): void {
    this.#request(type, NLM_F_REQUEST | NLM_F_ACK, body)
    if (this.#receive() === 0) throw new Error(`netlink request ${type}: no answer`)
    const code = buffer.readUInt16LE(4) === NLMSG_ERROR ? -buffer.readInt32LE(header) : 0
    if (code !== 0) throw new SystemError(`netlink request ${type}`, code)
  }

  #request(type: number, flags: number, body: Buffer): void {
    const message = Buffer.alloc(header + body.length)
    message.writeUInt32LE(message.length, 0)
    message.writeUInt16LE(type, 4)
    message.writeUInt16LE(flags, 6)
    message.writeUInt32LE(1, 8)
    body.copy(message, header)
    check('send', c.send(this.#fd, message, message.length, 0), `netlink request ${type}`)
  }

  close(): void {
    this.#stop?.()
    // One turn later: uv_poll must let go of the descriptor first.
    setImmediate(() => c.close(this.#fd))
  }
}

/** What was dumped changed meanwhile (NLM_F_DUMP_INTR): the answer mixes two states. */
class DumpInterrupted extends Error {}

/** One dump on a socket of its own, repeated while the kernel says that it changed under our hands. `collect` starts afresh each time. */
export function dumpOnce<T>(
  netns: number,
  protocol: number,
  type: number,
  body: Buffer,
  collect: () => { on: MessageHandler; result: () => T },
): T {
  for (let attempt = 1; ; attempt++) {
    const socket = new NetlinkSocket(netns, protocol, [])
    try {
      const { on, result } = collect()
      socket.dump(type, body, on)
      return result()
    } catch (error) {
      if (!(error instanceof DumpInterrupted) || attempt === 10) throw error
    } finally {
      socket.close()
    }
  }
}

/** Attributes of a message from `offset` on, by type, nesting and byte-order flags removed. */
export function attributes(body: Buffer, offset = 0): Map<number, Buffer> {
  const found = new Map<number, Buffer>()
  for (let at = offset; at + 4 <= body.length; ) {
    const length = body.readUInt16LE(at)
    if (length < 4 || at + length > body.length) break
    found.set(body.readUInt16LE(at + 2) & 0x3fff, body.subarray(at + 4, at + length))
    at += (length + 3) & ~3
  }
  return found
}

/** One attribute as it stands in a message: its header, the value, and zeros up to the next multiple of four. */
export function attribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc(4 + ((value.length + 3) & ~3))
  bytes.writeUInt16LE(4 + value.length, 0)
  bytes.writeUInt16LE(type, 2)
  value.copy(bytes, 4)
  return bytes
}

/** A zero-terminated string attribute. */
export function text(attribute: Buffer | undefined): string | undefined {
  if (!attribute) return undefined
  const end = attribute.indexOf(0)
  return attribute.toString('latin1', 0, end < 0 ? attribute.length : end)
}

/** A 32-bit attribute in network byte order, as netfilter's are. */
export function be32(attribute: Buffer | undefined): number | undefined {
  return attribute && attribute.length >= 4 ? attribute.readUInt32BE(0) : undefined
}
