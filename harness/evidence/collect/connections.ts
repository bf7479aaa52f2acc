import { AF_INET, AF_INET6 } from '../../../images/lib/libc.ts'
import { type Conntrack, decodeConntrack, openConntrack } from './conntrack.ts'
import { attribute, NETLINK_NETFILTER, NetlinkSocket } from './netlink.ts'
import { type TracedFlow, tracedFlow } from './trace-flow.ts'
import type { Trace } from './traces.ts'

// include/uapi/linux/netfilter/nfnetlink_conntrack.h
/** An answer has the type of an event. */
const IPCTNL_MSG_CT_NEW = (1 << 8) | 0
const IPCTNL_MSG_CT_GET = (1 << 8) | 1
const CTA_TUPLE_ORIG = 1
const CTA_ZONE = 18
const CTA_TUPLE_IP = 1
const CTA_TUPLE_PROTO = 2
const CTA_IP_V4_SRC = 1
const CTA_IP_V4_DST = 2
const CTA_IP_V6_SRC = 3
const CTA_IP_V6_DST = 4
const CTA_PROTO_NUM = 1
const CTA_PROTO_SRC_PORT = 2
const CTA_PROTO_DST_PORT = 3
const NLA_F_NESTED = 0x8000
const protocolNumbers = { tcp: 6, udp: 17 } as const
/** Zones in which a flow is looked for. Istio's raw table puts its proxy's own questions into zone 1; nothing else uses zones. */
const zones = { tcp: [0], udp: [0, 1] } as const
/** Flows that are remembered between two looks; beyond that the oldest are let go of. */
const most = 65_536

/**
 * Tracked connections of one namespace. As events; or, while a load is spared, by asking. Events are made by the kernel for all connections as soon as somebody listens, and those that no filter lets
 * through cost the load as much as the others. So nobody listens then: the connection of each packet that the trace rules choose is asked for, when the trace is read and again at flush().
 */
export class Connections {
  readonly #events: NetlinkSocket
  readonly #lookup: NetlinkSocket
  readonly #onConnection: (connection: Conntrack) => void
  /** Flows that were asked for since the last flush, with how to ask for them. undefined: events come. */
  #asked: Map<string, readonly Buffer[]> | undefined
  /** What was told last of a connection, while asking. */
  readonly #told = new Map<string, string>()

  constructor(netns: number, onConnection: (connection: Conntrack) => void) {
    this.#onConnection = onConnection
    this.#events = openConntrack(netns)
    try {
      this.#lookup = new NetlinkSocket(netns, NETLINK_NETFILTER, [])
    } catch (error) {
      this.#events.close()
      throw error
    }
  }

  /** Calls `onReadable` when there is something to drain(), until close(). */
  watch(onReadable: () => void): void {
    this.#events.watch(onReadable)
  }

  /** Hands over the events that are queued now, or those of at most `limit` reads. */
  drain(limit?: number): void {
    this.#events.drain((type, body, flags) => {
      const event = decodeConntrack(type, body, flags)
      if (event) this.#onConnection(event)
    }, limit)
  }

  /** From now on asks for connections instead of listening to what becomes of all; or listens again. */
  ask(asking: boolean): void {
    if (asking === (this.#asked !== undefined)) return
    if (asking) {
      this.#events.listen(false)
      this.drain()
      this.#asked = new Map()
    } else {
      this.#events.listen(true)
      this.flush()
      this.#asked = undefined
      this.#told.clear()
    }
  }

  /** Takes note of a traced packet. */
  onTrace(trace: Trace): void {
    if (!this.#asked) return
    const flow = tracedFlow(trace)
    if (!flow) return
    const requests = zones[flow.protocol].map((zone) => request(flow, zone))
    const key = `${flow.protocol} ${flow.from} ${flow.to}`
    this.#asked.delete(key)
    this.#asked.set(key, requests)
    if (this.#asked.size > most) this.#asked.delete(this.#asked.keys().next().value!)
    this.#lookUp(requests)
  }

  /** Hands over what is queued; of connections that were asked for since the last time, what has become of them. */
  flush(): void {
    this.drain()
    for (const requests of this.#asked?.values() ?? []) this.#lookUp(requests)
    this.#asked?.clear()
  }

  #lookUp(requests: readonly Buffer[]): void {
    for (const asked of requests) {
      const body = this.#lookup.ask(IPCTNL_MSG_CT_GET, asked)
      // None: the namespace tracks nothing, or a rule dropped the packet.
      const entry = body && decodeConntrack(IPCTNL_MSG_CT_NEW, body, 0)
      if (!entry) continue
      const connection: Conntrack = { ...entry, event: 'entry' }
      const key = `${connection.protocol} ${connection.orig.from} ${connection.orig.to} ${connection.zone}`
      const text = JSON.stringify(connection)
      if (this.#told.get(key) === text) continue
      this.#told.delete(key)
      this.#told.set(key, text)
      if (this.#told.size > most) this.#told.delete(this.#told.keys().next().value!)
      this.#onConnection(connection)
    }
  }

  takeLost(): number {
    return this.#events.takeLost()
  }

  close(): void {
    this.#events.close()
    this.#lookup.close()
  }
}

/** struct nfgenmsg and the tuple of either direction. */
function request({ family, protocol, addresses, ports }: TracedFlow, zone: number): Buffer {
  const isV6 = family === 'ip6'
  const half = addresses.length / 2
  const header = Buffer.from([isV6 ? AF_INET6 : AF_INET, 0, 0, 0])
  const ip = Buffer.concat([
    attribute(isV6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, addresses.subarray(0, half)),
    attribute(isV6 ? CTA_IP_V6_DST : CTA_IP_V4_DST, addresses.subarray(half)),
  ])
  const proto = Buffer.concat([
    attribute(CTA_PROTO_NUM, Buffer.from([protocolNumbers[protocol]])),
    attribute(CTA_PROTO_SRC_PORT, ports.subarray(0, 2)),
    attribute(CTA_PROTO_DST_PORT, ports.subarray(2, 4)),
  ])
  const tuple = Buffer.concat([attribute(CTA_TUPLE_IP | NLA_F_NESTED, ip), attribute(CTA_TUPLE_PROTO | NLA_F_NESTED, proto)])
  return Buffer.concat([
    header,
    attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, tuple),
    attribute(CTA_ZONE, Buffer.from([zone >> 8, zone & 0xff])),
  ])
}
