import { AF_INET, AF_INET6 } from '../../../images/lib/libc.ts'
import { endpointText } from './address.ts'
import { attributes, NETLINK_SOCK_DIAG, NetlinkSocket } from './netlink.ts'
import { traceTable } from './trace-rules.ts'
import type { Trace } from './traces.ts'

// include/uapi/linux/sock_diag.h, inet_diag.h
const SKNLGRP_INET_TCP_DESTROY = 1
const SKNLGRP_INET6_TCP_DESTROY = 3
const SOCK_DIAG_BY_FAMILY = 20
const INET_DIAG_MARK = 15
const IPPROTO_TCP = 6
/** struct inet_diag_msg: id (ports, addresses) at 4, uid at 64, attributes behind 72 bytes. */
const id = 4
const uidAt = 64
const messageLength = 72
/** Connections remembered while they live; beyond that the oldest are forgotten. */
const memory = 65_536

export interface DestroyedSocket {
  readonly local: string
  readonly peer: string
  /** SO_MARK. */
  readonly mark: number
  /** Owner; -1: the socket was gone before it could be asked for. */
  readonly uid: number
}

/**
 * TCP sockets of one namespace as the kernel destroys them. The destroy event tells the two ends but neither mark nor owner (the kernel fills those only for requests, measured on 6.18), so
 * both are learnt while the socket lives: each time a packet of a connection is traced at the start of output the socket behind it is asked for by its ends. When it is already gone, the mark of
 * that very packet stands in: at priority -400 no rule has run yet, and the kernel copies SO_MARK (of a listener, for a SYN-ACK) into each packet that a socket sends.
 */
export class Sockets {
  readonly #events: NetlinkSocket
  readonly #lookup: NetlinkSocket
  readonly #onDestroyed: (socket: DestroyedSocket) => void
  readonly #known = new Map<string, { mark: number; uid: number }>()
  #unknown = 0

  constructor(netns: number, onDestroyed: (socket: DestroyedSocket) => void) {
    this.#onDestroyed = onDestroyed
    this.#events = new NetlinkSocket(netns, NETLINK_SOCK_DIAG, [SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY], 2 << 20)
    try {
      this.#lookup = new NetlinkSocket(netns, NETLINK_SOCK_DIAG, [])
    } catch (error) {
      this.#events.close()
      throw error
    }
  }

  /** Learns the connections that are there, which no trace told of. To be called when the trace rules stand: from then on each new one is known. */
  learnPresent(): void {
    this.drain()
    for (const family of [AF_INET, AF_INET6])
      this.#lookup.dump(SOCK_DIAG_BY_FAMILY, request(family, Buffer.alloc(48)), (_, body) => this.#learn(body))
    this.#unknown = 0
  }

  /** @param before runs before events are read: whatever was traced earlier must be known by then */
  watch(before: () => void): void {
    this.#events.watch(() => {
      before()
      this.drain()
    })
  }

  /** Hands over what is queued now. */
  drain(): void {
    this.#events.drain((type, body) => {
      if (type !== SOCK_DIAG_BY_FAMILY || body.length < messageLength) return
      const key = ends(body)
      const [local, peer] = key
      const found = this.#known.get(key.join(' '))
      this.#known.delete(key.join(' '))
      // Never connected (listeners), or a connection of before the watch that was torn down meanwhile.
      if (body.readUInt16BE(id + 2) === 0) return
      if (found) this.#onDestroyed({ local, peer, ...found })
      else this.#unknown++
    })
  }

  /** Takes note of a traced packet: the first line of a walk through our own output chain. */
  onTrace(trace: Trace): void {
    if (trace.table !== traceTable || trace.oif === undefined || trace.nh === undefined || trace.th === undefined) return
    const nh = Buffer.from(trace.nh, 'hex')
    const th = Buffer.from(trace.th, 'hex')
    const isV6 = nh[0]! >> 4 === 6
    if ((isV6 ? nh[6] : nh[9]) !== IPPROTO_TCP || th.length < 20) return
    const addresses = isV6 ? nh.subarray(8, 40) : nh.subarray(12, 20)
    const half = addresses.length / 2
    const key = `${endpointText(addresses.subarray(0, half), th.readUInt16BE(0))} ${endpointText(addresses.subarray(half), th.readUInt16BE(2))}`
    const known = this.#known.get(key)
    const isSyn = (th[13]! & 0x02) !== 0
    if (known && !isSyn && known.uid >= 0) return
    this.#remember(key, { mark: trace.mark, uid: -1 })
    const id = Buffer.alloc(48)
    th.copy(id, 0, 0, 4)
    addresses.copy(id, 4, 0, half)
    addresses.copy(id, 20, half)
    id.fill(0xff, 40)
    const answer = this.#lookup.ask(SOCK_DIAG_BY_FAMILY, request(isV6 ? AF_INET6 : AF_INET, id))
    // A listener's half-open child (state 3, SYN_RECV) has no owner yet.
    if (answer && ends(answer).join(' ') === key && answer[1] !== 3) this.#learn(answer)
  }

  #learn(body: Buffer): void {
    if (body.readUInt16BE(id + 2) === 0) return
    const mark = attributes(body, messageLength).get(INET_DIAG_MARK)
    // TIME_WAIT and the like have no mark to show.
    if (mark) this.#remember(ends(body).join(' '), { mark: mark.readUInt32LE(0), uid: body.readUInt32LE(uidAt) })
  }

  #remember(key: string, value: { mark: number; uid: number }): void {
    this.#known.delete(key)
    this.#known.set(key, value)
    if (this.#known.size > memory) this.#known.delete(this.#known.keys().next().value!)
  }

  /** Destroy events that were dropped, or whose mark nobody knows any more. */
  takeLost(): number {
    const lost = this.#unknown + this.#events.takeLost()
    this.#unknown = 0
    return lost
  }

  close(): void {
    this.#events.close()
    this.#lookup.close()
  }
}

/** struct inet_diag_req_v2 for TCP in any state. */
function request(family: number, socketId: Buffer): Buffer {
  const b = Buffer.alloc(56)
  b[0] = family
  b[1] = IPPROTO_TCP
  b.writeUInt32LE(0xffffffff, 4)
  socketId.copy(b, 8)
  return b
}

function ends(body: Buffer): [local: string, peer: string] {
  const size = body[0] === AF_INET6 ? 16 : 4
  return [
    endpointText(body.subarray(id + 4, id + 4 + size), body.readUInt16BE(id)),
    endpointText(body.subarray(id + 20, id + 20 + size), body.readUInt16BE(id + 2)),
  ]
}
