import { rmSync } from 'node:fs'
import {
  AF_UNIX,
  addressOf,
  c,
  check,
  EAGAIN,
  EINTR,
  errno,
  MSG_CMSG_CLOEXEC,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_SEQPACKET,
  SystemError,
} from './libc.ts'
import { ownFile } from './own-file.ts'
import { watchReadable } from './poll.ts'

const SOL_SOCKET = 1
const SCM_RIGHTS = 1
const MSG_CTRUNC = 8
const MSG_TRUNC = 0x20
const HEADER = 56 // struct msghdr, LP64
const CMSG = 16 // struct cmsghdr, LP64

/** One packet as it came: its bytes, the descriptors that travelled with it (the receiver's to close), and whether the kernel cut either. */
export interface Packet {
  readonly data: Buffer
  readonly fds: readonly number[]
  readonly truncated: boolean
}

/** A connected AF_UNIX SOCK_SEQPACKET socket: packets with descriptors (unix(7), cmsg(3)). */
export class SeqpacketSocket {
  readonly fd: number
  #stop: (() => void) | undefined
  #closed = false
  readonly #data: Buffer
  readonly #control = Buffer.alloc(CMSG + 4 * 8)

  /** @param maxPacket larger packets arrive with `truncated` set, bytes */
  constructor(fd: number, maxPacket: number) {
    this.fd = fd
    this.#data = Buffer.alloc(maxPacket)
  }

  /** Connects to a listening path; throws SystemError (ENOENT 2, ECONNREFUSED 111) at once. */
  static connect(path: string, maxPacket: number): SeqpacketSocket {
    const fd = check('socket', c.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
    const address = unixAddress(path)
    if (c.connect(fd, address, address.length) !== 0) {
      const error = new SystemError('connect', errno(), path)
      c.close(fd)
      throw error
    }
    return new SeqpacketSocket(fd, maxPacket)
  }

  /** Delivers packets until the peer is gone (`onEnd`, once) or close() was called (nothing more). */
  start(onPacket: (packet: Packet) => void, onEnd: (error?: Error) => void): void {
    this.#stop = watchReadable(this.fd, () => {
      while (!this.#closed) {
        const packet = this.#receive()
        if (packet === 'again') return
        if (packet === 'end' || packet instanceof Error) {
          this.#stop?.()
          onEnd(packet instanceof Error ? packet : undefined)
          return
        }
        onPacket(packet)
      }
    })
  }

  #receive(): Packet | 'again' | 'end' | Error {
    const iov = Buffer.alloc(16)
    iov.writeBigUInt64LE(addressOf(this.#data), 0)
    iov.writeBigUInt64LE(BigInt(this.#data.length), 8)
    const header = Buffer.alloc(HEADER)
    header.writeBigUInt64LE(addressOf(iov), 16)
    header.writeBigUInt64LE(1n, 24)
    header.writeBigUInt64LE(addressOf(this.#control), 32)
    header.writeBigUInt64LE(BigInt(this.#control.length), 40)
    const n = Number(c.recvmsg(this.fd, header, MSG_CMSG_CLOEXEC))
    if (n < 0) {
      const code = errno()
      if (code === EAGAIN || code === EINTR) return 'again'
      return new SystemError('recvmsg', code)
    }
    const flags = header.readInt32LE(48)
    const fds = descriptors(this.#control.subarray(0, Number(header.readBigUInt64LE(40))))
    if (n === 0 && fds.length === 0) return 'end'
    return { data: Buffer.from(this.#data.subarray(0, n)), fds, truncated: (flags & (MSG_TRUNC | MSG_CTRUNC)) !== 0 }
  }

  /** Sends one packet, with copies of the given descriptors. Throws SystemError (EPIPE 32, EAGAIN 11: the peer reads too slowly). */
  send(payload: Buffer, fds: readonly number[] = []): void {
    const iov = Buffer.alloc(16)
    iov.writeBigUInt64LE(addressOf(payload), 0)
    iov.writeBigUInt64LE(BigInt(payload.length), 8)
    const header = Buffer.alloc(HEADER)
    header.writeBigUInt64LE(addressOf(iov), 16)
    header.writeBigUInt64LE(1n, 24)
    const control = Buffer.alloc(CMSG + ((4 * fds.length + 7) & ~7))
    if (fds.length > 0) {
      control.writeBigUInt64LE(BigInt(CMSG + 4 * fds.length), 0)
      control.writeInt32LE(SOL_SOCKET, 8)
      control.writeInt32LE(SCM_RIGHTS, 12)
      fds.forEach((fd, i) => {
        control.writeInt32LE(fd, CMSG + 4 * i)
      })
      header.writeBigUInt64LE(addressOf(control), 32)
      header.writeBigUInt64LE(BigInt(control.length), 40)
    }
    check('sendmsg', c.sendmsg(this.fd, header, MSG_NOSIGNAL))
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#stop?.()
    // libuv lets go of the descriptor in its next turn.
    setImmediate(() => c.close(this.fd))
  }
}

/** A listening SOCK_SEQPACKET socket; a stale socket file at `path` is removed first, and its own on close. */
export function listenSeqpacket(path: string, maxPacket: number, onConnection: (socket: SeqpacketSocket) => void): { close(): void } {
  rmSync(path, { force: true })
  const fd = check('socket', c.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
  const address = unixAddress(path)
  try {
    check('bind', c.bind(fd, address, address.length), path)
    check('listen', c.listen(fd, 16), path)
  } catch (error) {
    c.close(fd)
    throw error
  }
  const remove = ownFile(path)
  const stop = watchReadable(fd, () => {
    for (;;) {
      const accepted = c.accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC)
      if (accepted < 0) return
      onConnection(new SeqpacketSocket(accepted, maxPacket))
    }
  })
  let closed = false
  return {
    close() {
      if (closed) return
      closed = true
      stop()
      setImmediate(() => c.close(fd))
      remove()
    },
  }
}

function unixAddress(path: string): Buffer {
  const bytes = Buffer.from(path)
  if (bytes.length > 107) throw new TypeError(`socket path is longer than 107 bytes: ${path}`)
  const b = Buffer.alloc(2 + bytes.length + 1)
  b.writeUInt16LE(AF_UNIX, 0)
  bytes.copy(b, 2)
  return b
}

function descriptors(control: Buffer): number[] {
  const fds: number[] = []
  for (let at = 0; at + CMSG <= control.length; ) {
    const length = Number(control.readBigUInt64LE(at))
    if (length < CMSG) break
    if (control.readInt32LE(at + 8) === SOL_SOCKET && control.readInt32LE(at + 12) === SCM_RIGHTS) {
      for (let p = at + CMSG; p + 4 <= at + length; p += 4) fds.push(control.readInt32LE(p))
    }
    at += (length + 7) & ~7
  }
  return fds
}
