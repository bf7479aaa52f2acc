import { AF_INET, AF_INET6, c, check, SOCK_STREAM, SOL_SOCKET } from '../../../images/lib/libc.ts'
import { socketInNetns } from '../../../images/lib/netns.ts'
import { endpointText } from './address.ts'
import { attributes, NETLINK_SOCK_DIAG, NetlinkSocket } from './netlink.ts'
import { tracedFlow } from './trace-flow.ts'
import type { Trace } from './traces.ts'

// include/uapi/linux/sock_diag.h, inet_diag.h
const SKNLGRP_INET_TCP_DESTROY = 1
const SKNLGRP_INET6_TCP_DESTROY = 3
const SOCK_DIAG_BY_FAMILY = 20
const INET_DIAG_MARK = 15
const SO_COOKIE = 57
const IPPROTO_TCP = 6
const TCP_SYN_RECV = 3
const TCP_TIME_WAIT = 6
/** struct inet_diag_msg: id (ports, addresses, cookie) at 4, uid at 64, attributes behind 72 bytes. */
const id = 4
const cookieAt = 44
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
 * TCP sockets of one namespace as the kernel destroys them. The destroy event tells neither mark nor owner (the kernel fills those only for requests, measured on 6.18), and not even the two ends
 * when the socket was reset by its own program (SO_LINGER 0). So these are learnt while the socket lives: each time a packet of a connection is traced at the start of output the socket behind it is
 * asked for by its ends, and remembered by its cookie (one that resets itself before it could be asked leaves no line). When it is already gone, the mark of that very packet stands in: at priority -400 no rule has run yet, and the kernel copies SO_MARK (of a
 * listener, for a SYN-ACK) into each packet that a socket sends.
 */
export class Sockets {
  readonly #events: NetlinkSocket
  readonly #lookup: NetlinkSocket
  readonly #readTraces: () => void
  readonly #onDestroyed: (socket: DestroyedSocket) => void
  /** Sockets that answered, by cookie, which the kernel gives only once. */
  readonly #answered = new Map<string, DestroyedSocket>()
  /** Marks of first packets, by ends. */
  readonly #marks = new Map<string, { readonly mark: number; readonly answered: boolean }>()
  readonly #probes = new Map<string, () => void>()
  readonly #netns: number
  #unknown = 0
  /** Ends of the sockets that were told while nobody listens; undefined: destroyed sockets are told. */
  #told: Set<string> | undefined
  /** What their ends begin with. */
  #spared: readonly string[] = []

  /** @param readTraces hands over to onTrace() all that is queued: a packet of a socket was traced before the socket was destroyed */
  constructor(netns: number, readTraces: () => void, onDestroyed: (socket: DestroyedSocket) => void) {
    this.#netns = netns
    this.#readTraces = readTraces
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
    this.#learnAll()
    this.#unknown = 0
  }

  #learnAll(): void {
    for (const family of [AF_INET, AF_INET6])
      this.#lookup.dump(SOCK_DIAG_BY_FAMILY, request(family, Buffer.alloc(48), ~(1 << TCP_TIME_WAIT) >>> 0), (_, body) => this.#learn(body))
  }

  /**
   * While these clients make a load, tells sockets of others when they are known instead of when they are destroyed; none: when they are destroyed again. While somebody listens the kernel makes a message
   * of every socket that goes, whether a filter lets it through or not: a load pays for that. Sockets that are known already are told at once, since nobody will see them go.
   * @param clients IPv4 addresses as numbers
   */
  spare(clients: readonly number[]): void {
    const asking = clients.length > 0
    if (asking !== (this.#told !== undefined)) {
      this.drain()
      if (asking) {
        this.#told = new Set()
        this.drain()
        this.#events.listen(false)
      } else {
        this.#events.listen(true)
        this.#told = undefined
        this.#learnAll()
      }
    }
    this.#spared = clients.map((client) => `${[24, 16, 8, 0].map((shift) => (client >>> shift) & 255).join('.')}:`)
  }

  /** Hands over destroyed sockets as they come, until close(). */
  watch(): void {
    this.#events.watch(() => this.drain())
  }

  /** Hands over what is queued now. */
  drain(): void {
    // Ask for sockets while they are there; then once more, for what was traced and destroyed since.
    this.#readTraces()
    const events: Buffer[] = []
    this.#events.drain((type, body) => {
      if (type === SOCK_DIAG_BY_FAMILY && body.length >= messageLength) events.push(Buffer.from(body.subarray(0, messageLength)))
    })
    if (events.length > 0) this.#readTraces()
    for (const event of events) this.#destroyed(event)
    if (this.#told) this.#tellKnown()
  }

  #destroyed(body: Buffer): void {
    const cookie = cookieOf(body)
    const [local, peer] = ends(body)
    const key = `${local} ${peer}`
    const answered = this.#answered.get(cookie)
    const traced = this.#marks.get(key)
    this.#answered.delete(cookie)
    this.#marks.delete(key)
    const onSeen = this.#probes.get(cookie)
    if (onSeen) {
      this.#probes.delete(cookie)
      onSeen()
    } else if (answered) this.#onDestroyed(answered)
    // Never connected (listeners), or reset by its own program before it could be asked for.
    else if (body.readUInt16BE(id + 2) === 0) return
    else if (traced) this.#onDestroyed({ local, peer, mark: traced.mark, uid: -1 })
    else this.#unknown++
  }

  /**
   * Makes a socket that does nothing and destroys it. The kernel tells of destroyed sockets later, from a queue of the processor that freed them; when `onSeen` is called,
   * what was destroyed on this processor before has been handed over.
   */
  probe(onSeen: () => void): void {
    // What is asked for waits in no queue but that of the traces.
    if (this.#told) {
      onSeen()
      return
    }
    const fd = socketInNetns(this.#netns, AF_INET, SOCK_STREAM)
    const cookie = Buffer.alloc(8)
    try {
      check('getsockopt', c.getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, [8] as unknown as number), 'SO_COOKIE')
      this.#probes.set(cookie.toString('latin1'), onSeen)
    } finally {
      c.close(fd)
    }
  }

  /** Takes note of a traced packet: the first line of a walk through our own output chain. */
  onTrace(trace: Trace): void {
    if (trace.oif === undefined) return
    const flow = tracedFlow(trace)
    if (flow?.protocol !== 'tcp') return
    const key = `${flow.from} ${flow.to}`
    if (flow.isSyn) this.#told?.delete(key)
    else if (this.#marks.get(key)?.answered) return
    const half = flow.addresses.length / 2
    const socketId = Buffer.alloc(48)
    flow.ports.copy(socketId)
    flow.addresses.copy(socketId, 4, 0, half)
    flow.addresses.copy(socketId, 20, half)
    socketId.fill(0xff, 40)
    const answer = this.#lookup.ask(SOCK_DIAG_BY_FAMILY, request(flow.family === 'ip6' ? AF_INET6 : AF_INET, socketId))
    const found = answer !== undefined && ends(answer).join(' ') === key && this.#learn(answer)
    remember(this.#marks, key, { mark: trace.mark, answered: found })
  }

  /** @returns whether all is known now */
  #learn(body: Buffer): boolean {
    const [local, peer] = ends(body)
    const mark = attributes(body, messageLength).get(INET_DIAG_MARK)
    // Listeners; TIME_WAIT and the like have no mark to show.
    if (body.readUInt16BE(id + 2) === 0 || !mark) return false
    // Half open: its child inherits cookie and mark, but has no owner yet.
    const isHalfOpen = body[1] === TCP_SYN_RECV
    const known = { local, peer, mark: mark.readUInt32LE(0), uid: isHalfOpen ? -1 : body.readUInt32LE(uidAt) }
    remember(this.#answered, cookieOf(body), known)
    if (!isHalfOpen) this.#tell(known)
    return !isHalfOpen
  }

  /** Half open ones too, and those that were gone before they could be asked for. */
  #tellKnown(): void {
    for (const known of this.#answered.values()) this.#tell(known)
    for (const [key, { mark }] of this.#marks) {
      const [local = '', peer = ''] = key.split(' ')
      this.#tell({ local, peer, mark, uid: -1 })
    }
  }

  /** While nobody listens: once, until its ends open a connection anew. */
  #tell(socket: DestroyedSocket): void {
    const key = `${socket.local} ${socket.peer}`
    if (
      !this.#told ||
      this.#told.has(key) ||
      this.#spared.some((client) => socket.local.startsWith(client) || socket.peer.startsWith(client))
    )
      return
    if (this.#told.size >= memory) this.#told.clear()
    this.#told.add(key)
    this.#onDestroyed(socket)
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

/** struct inet_diag_req_v2 for TCP. @param states a bit for each that is asked for; all unless told */
function request(family: number, socketId: Buffer, states = 0xffffffff): Buffer {
  const b = Buffer.alloc(56)
  b[0] = family
  b[1] = IPPROTO_TCP
  b.writeUInt32LE(states, 4)
  socketId.copy(b, 8)
  return b
}

/** Adds at the end, and forgets the oldest when there are too many. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key)
  map.set(key, value)
  if (map.size > memory) map.delete(map.keys().next().value!)
}

function cookieOf(body: Buffer): string {
  return body.toString('latin1', cookieAt, cookieAt + 8)
}

function ends(body: Buffer): [local: string, peer: string] {
  const size = body[0] === AF_INET6 ? 16 : 4
  return [
    endpointText(body.subarray(id + 4, id + 4 + size), body.readUInt16BE(id)),
    endpointText(body.subarray(id + 20, id + 20 + size), body.readUInt16BE(id + 2)),
  ]
}
