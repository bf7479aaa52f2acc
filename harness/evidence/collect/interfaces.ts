import { addressText, macText } from './address.ts'
import { attributes, dumpOnce, NETLINK_ROUTE, NetlinkSocket, text } from './netlink.ts'

// include/uapi/linux/rtnetlink.h, if_link.h, if_addr.h
const RTM_NEWLINK = 16
const RTM_GETLINK = 18
const RTM_NEWADDR = 20
const RTM_GETADDR = 22
const RTNLGRP_LINK = 1
const RTNLGRP_IPV4_IFADDR = 5
const RTNLGRP_IPV6_IFADDR = 9
const IFLA_ADDRESS = 1
const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFLA_LINK = 5
const IFLA_LINKINFO = 18
const IFLA_INFO_KIND = 1
const IFA_ADDRESS = 1
const IFA_LOCAL = 2

export interface Interface {
  readonly index: number
  readonly dev: string
  readonly mac: string
  readonly mtu: number
  /** Without prefix lengths. */
  readonly addresses: readonly string[]
  /** What the kernel calls its kind, such as `veth`, `geneve`, `vxlan`; a device of none has none. */
  readonly kind?: string
  /** veth: the other end's index, in the namespace where that end is. */
  readonly peerIndex?: number
}

/** The interfaces of one namespace, now. */
export function dumpInterfaces(netns: number): Interface[] {
  const addresses = dumpOnce(netns, NETLINK_ROUTE, RTM_GETADDR, Buffer.alloc(8), () => {
    const found = new Map<number, string[]>()
    const on = (type: number, body: Buffer) => {
      if (type !== RTM_NEWADDR) return
      const a = attributes(body, 8)
      const bytes = a.get(IFA_LOCAL) ?? a.get(IFA_ADDRESS)
      const index = body.readUInt32LE(4)
      if (bytes) found.set(index, [...(found.get(index) ?? []), addressText(bytes)])
    }
    return { on, result: () => found }
  })
  return dumpOnce(netns, NETLINK_ROUTE, RTM_GETLINK, Buffer.alloc(16), () => {
    const found: Interface[] = []
    const on = (type: number, body: Buffer) => {
      if (type !== RTM_NEWLINK) return
      const a = attributes(body, 16)
      const index = body.readInt32LE(4)
      const info = a.get(IFLA_LINKINFO)
      const kind = info && text(attributes(info).get(IFLA_INFO_KIND))
      const peer = kind === 'veth' ? a.get(IFLA_LINK)?.readUInt32LE(0) : undefined
      found.push({
        index,
        dev: text(a.get(IFLA_IFNAME)) ?? `if${index}`,
        mac: macText(a.get(IFLA_ADDRESS) ?? Buffer.alloc(0)),
        mtu: a.get(IFLA_MTU)?.readUInt32LE(0) ?? 0,
        addresses: addresses.get(index) ?? [],
        ...(kind === undefined ? {} : { kind }),
        ...(peer === undefined ? {} : { peerIndex: peer }),
      })
    }
    return { on, result: () => found }
  })
}

/** Knows the interfaces of one namespace for as long as it is watched; gone ones stay known, since packets of theirs may still be queued. */
export class Interfaces {
  readonly #netns: number
  readonly #onLearnt: (learnt: Interface) => void
  readonly #events: NetlinkSocket
  readonly #known = new Map<number, Interface>()

  /** @param onLearnt called for each interface once, and again when anything about it changed */
  constructor(netns: number, onLearnt: (learnt: Interface) => void) {
    this.#netns = netns
    this.#onLearnt = onLearnt
    this.#events = new NetlinkSocket(netns, NETLINK_ROUTE, [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR], 1 << 20)
    try {
      this.refresh()
    } catch (error) {
      this.#events.close()
      throw error
    }
    this.#events.watch(() => {
      // What the events say is not read: one dump tells the outcome of the whole burst.
      this.#events.drain(() => {})
      this.refresh()
    })
  }

  /** The name of an interface that a packet or trace line tells only the index of; asks the kernel when it is new. */
  name(index: number): string {
    const known = this.#known.get(index)
    if (known) return known.dev
    this.refresh()
    const found = this.#known.get(index)
    if (found) return found.dev
    // Made and deleted before it was asked for: the packet still needs an interface.
    const gone = { index, dev: `if${index}`, mac: '', mtu: 0, addresses: [] }
    this.#known.set(index, gone)
    this.#onLearnt(gone)
    return gone.dev
  }

  refresh(): void {
    for (const found of dumpInterfaces(this.#netns)) {
      const known = this.#known.get(found.index)
      if (known && JSON.stringify(known) === JSON.stringify(found)) continue
      this.#known.set(found.index, found)
      this.#onLearnt(found)
    }
  }

  close(): void {
    this.#events.close()
  }
}
