import { endpointText } from './address.ts'
import { attributes, be32, NETLINK_NETFILTER, NetlinkSocket } from './netlink.ts'

// include/uapi/linux/netfilter/nfnetlink_conntrack.h
const NFNLGRP_CONNTRACK_NEW = 1
const NFNLGRP_CONNTRACK_UPDATE = 2
const NFNLGRP_CONNTRACK_DESTROY = 3
const IPCTNL_MSG_CT_NEW = (1 << 8) | 0
const IPCTNL_MSG_CT_DELETE = (1 << 8) | 2
const CTA_TUPLE_ORIG = 1
const CTA_TUPLE_REPLY = 2
const CTA_STATUS = 3
const CTA_MARK = 8
const CTA_ZONE = 18
const CTA_TUPLE_IP = 1
const CTA_TUPLE_PROTO = 2
const CTA_TUPLE_ZONE = 3
const CTA_IP_V4_SRC = 1
const CTA_IP_V4_DST = 2
const CTA_IP_V6_SRC = 3
const CTA_IP_V6_DST = 4
const CTA_PROTO_NUM = 1
const CTA_PROTO_SRC_PORT = 2
const CTA_PROTO_DST_PORT = 3
/** New and update are one message type; only new ones have this flag. */
const NLM_F_CREATE = 0x400
const protocols: Record<number, Conntrack['protocol']> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmp' }

export interface Conntrack {
  /** `entry`: no event, but how it stood when it was asked for. */
  readonly event: 'new' | 'update' | 'destroy' | 'entry'
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'other'
  /** ICMP has no ports: 0. */
  readonly orig: { readonly from: string; readonly to: string }
  readonly reply: { readonly from: string; readonly to: string }
  readonly mark: number
  readonly zone: number
  /** enum ip_conntrack_status bits; IPS_ASSURED 0x4, IPS_SRC_NAT 0x10, IPS_DST_NAT 0x20. */
  readonly status: number
}

/** Decodes one conntrack event (behind the netlink header); undefined when it is something else. */
export function decodeConntrack(type: number, body: Buffer, flags: number): Conntrack | undefined {
  if ((type !== IPCTNL_MSG_CT_NEW && type !== IPCTNL_MSG_CT_DELETE) || body.length < 4) return undefined
  const a = attributes(body, 4)
  const original = attributes(a.get(CTA_TUPLE_ORIG) ?? Buffer.alloc(0))
  const number = attributes(original.get(CTA_TUPLE_PROTO) ?? Buffer.alloc(0)).get(CTA_PROTO_NUM)?.[0]
  const zone = a.get(CTA_ZONE) ?? original.get(CTA_TUPLE_ZONE)
  return {
    event: type === IPCTNL_MSG_CT_DELETE ? 'destroy' : flags & NLM_F_CREATE ? 'new' : 'update',
    protocol: protocols[number ?? -1] ?? 'other',
    orig: ends(original),
    reply: ends(attributes(a.get(CTA_TUPLE_REPLY) ?? Buffer.alloc(0))),
    mark: be32(a.get(CTA_MARK)) ?? 0,
    zone: zone?.readUInt16BE(0) ?? 0,
    status: be32(a.get(CTA_STATUS)) ?? 0,
  }
}

function ends(tuple: Map<number, Buffer>): Conntrack['orig'] {
  const ip = attributes(tuple.get(CTA_TUPLE_IP) ?? Buffer.alloc(0))
  const ports = attributes(tuple.get(CTA_TUPLE_PROTO) ?? Buffer.alloc(0))
  const from = ip.get(CTA_IP_V4_SRC) ?? ip.get(CTA_IP_V6_SRC) ?? Buffer.alloc(4)
  const to = ip.get(CTA_IP_V4_DST) ?? ip.get(CTA_IP_V6_DST) ?? Buffer.alloc(4)
  return {
    from: endpointText(from, ports.get(CTA_PROTO_SRC_PORT)?.readUInt16BE(0) ?? 0),
    to: endpointText(to, ports.get(CTA_PROTO_DST_PORT)?.readUInt16BE(0) ?? 0),
  }
}

/** Conntrack events of one namespace. They need no sysctl: `nf_conntrack_events` is "on while somebody listens" by default. */
export function openConntrack(netns: number): NetlinkSocket {
  return new NetlinkSocket(netns, NETLINK_NETFILTER, [NFNLGRP_CONNTRACK_NEW, NFNLGRP_CONNTRACK_UPDATE, NFNLGRP_CONNTRACK_DESTROY])
}
