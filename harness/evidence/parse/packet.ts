import { endpoint4, endpoint6 } from './addresses.ts'

/**
 * Where things are in one captured Ethernet frame. One instance is decoded into again and again: no object per packet.
 * Layouts: IEEE 802.1Q, RFC 791 (IPv4), RFC 8200 (IPv6), RFC 9293 (TCP), RFC 768 (UDP), RFC 792 and 4443 (ICMP).
 */
export class PacketFields {
  /** Offset of the frame in the view, and how many bytes of it there are. */
  frameOffset = 0
  frameCaptured = 0
  /** EtherType after VLAN tags; −1 when the frame is too short to tell. */
  etherType = -1
  /** 4, 6, or 0 for anything else. */
  ipVersion = 0
  /** Offset of the IP header in the view. */
  networkOffset = 0
  /** IP protocol number behind IPv6's extension headers; −1 when not IP or not captured. */
  protocol = -1
  /** −1 when the packet has none, or they were not captured (later fragments, cut headers). */
  sourcePort = -1
  destinationPort = -1
  /** TCP's low six flag bits. */
  tcpFlags = 0
  seq = 0
  ack = 0
  /** Offset of the payload in the view: after the TCP, UDP or ICMP header, else after the IP or Ethernet header. */
  payloadOffset = 0
  /** Bytes of payload on the wire and captured. */
  payloadLength = 0
  payloadCaptured = 0
}

export const TCP = 6
export const UDP = 17
export const ICMP = 1
export const ICMP6 = 58
const HOP_BY_HOP = 0
const ROUTING = 43
const FRAGMENT = 44
const AUTHENTICATION = 51
const DESTINATION_OPTIONS = 60
const ETHERTYPE_IP4 = 0x0800
const ETHERTYPE_IP6 = 0x86dd

/**
 * Decodes the Ethernet frame at `at`. Never throws: what was not captured stays unknown.
 * @param captured bytes there are, @param original bytes there were on the wire
 */
export function decodeEthernet(view: DataView, at: number, captured: number, original: number, into: PacketFields): void {
  const end = at + captured
  into.frameOffset = at
  into.frameCaptured = captured
  into.etherType = -1
  let o = at + 12
  let type = o + 2 <= end ? view.getUint16(o) : -1
  o += 2
  while ((type === 0x8100 || type === 0x88a8 || type === 0x9100) && o + 4 <= end) {
    type = view.getUint16(o + 2)
    o += 4
  }
  into.etherType = type
  const header = Math.min(o, end) - at
  if (type === ETHERTYPE_IP4 || type === ETHERTYPE_IP6) decodeIp(view, at + header, captured - header, original - header, into)
  else plain(into, at + header, captured - header, original - header)
}

/** Decodes the IPv4 or IPv6 packet at `at`; parameters as for an Ethernet frame. */
export function decodeIp(view: DataView, at: number, captured: number, original: number, into: PacketFields): void {
  const version = captured > 0 ? view.getUint8(at) >> 4 : 0
  if (version === 4 && captured >= 20) decodeIp4(view, at, captured, original, into)
  else if (version === 6 && captured >= 40) decodeIp6(view, at, captured, original, into)
  else plain(into, at, captured, original)
}

/** A packet of which only its length is known. */
function plain(into: PacketFields, at: number, captured: number, original: number): void {
  into.ipVersion = 0
  into.networkOffset = at
  into.protocol = -1
  payload(into, at, captured, original)
}

function payload(into: PacketFields, at: number, captured: number, length: number): void {
  into.sourcePort = into.destinationPort = -1
  into.tcpFlags = into.seq = into.ack = 0
  // A header that claims more than was captured leaves a negative rest: then the payload is empty at the end of the capture.
  into.payloadOffset = captured < 0 ? at + captured : at
  into.payloadLength = Math.max(0, length)
  into.payloadCaptured = Math.max(0, Math.min(captured, length))
}

function decodeIp4(view: DataView, at: number, captured: number, original: number, into: PacketFields): void {
  const header = (view.getUint8(at) & 15) * 4
  // A length of 0 is what the kernel writes in segmentation-offload packets above 64 KiB (BIG TCP): then the frame's own length counts.
  const length = view.getUint16(at + 2) || original
  if (header < 20 || header > length) {
    plain(into, at, captured, original)
    return
  }
  into.ipVersion = 4
  into.networkOffset = at
  into.protocol = view.getUint8(at + 9)
  const laterFragment = (view.getUint16(at + 6) & 0x1fff) !== 0
  decodeTransport(view, at + header, Math.min(captured, length) - header, length - header, laterFragment, into)
}

function decodeIp6(view: DataView, at: number, captured: number, original: number, into: PacketFields): void {
  // Payload length 0: a jumbogram or BIG TCP, as above.
  const after = view.getUint16(at + 4)
  const wire = after === 0 ? original : 40 + after
  const end = at + Math.min(captured, wire)
  into.ipVersion = 6
  into.networkOffset = at
  let next = view.getUint8(at + 6)
  let o = at + 40
  let laterFragment = false
  while (next === HOP_BY_HOP || next === ROUTING || next === DESTINATION_OPTIONS || next === FRAGMENT || next === AUTHENTICATION) {
    if (o + 8 > end) break
    const size = next === FRAGMENT ? 8 : next === AUTHENTICATION ? (view.getUint8(o + 1) + 2) * 4 : (view.getUint8(o + 1) + 1) * 8
    if (next === FRAGMENT && (view.getUint16(o + 2) & 0xfff8) !== 0) laterFragment = true
    next = view.getUint8(o)
    o += size
    if (laterFragment) break
  }
  into.protocol = next
  decodeTransport(view, o, end - o, at + wire - o, laterFragment, into)
}

function decodeTransport(view: DataView, at: number, captured: number, length: number, laterFragment: boolean, into: PacketFields): void {
  payload(into, at, captured, length)
  if (laterFragment) return
  const { protocol } = into
  let header = 0
  if (protocol === TCP) {
    header = 20
    if (captured >= 12) {
      into.seq = view.getUint32(at + 4)
      into.ack = view.getUint32(at + 8)
    }
    if (captured >= 14) {
      header = Math.max(20, (view.getUint8(at + 12) >> 4) * 4)
      into.tcpFlags = view.getUint8(at + 13) & 0x3f
    }
  } else if (protocol === UDP || protocol === ICMP || protocol === ICMP6) header = 8
  else return
  if (protocol !== ICMP && protocol !== ICMP6 && captured >= 4) {
    into.sourcePort = view.getUint16(at)
    into.destinationPort = view.getUint16(at + 2)
  }
  into.payloadOffset = at + Math.min(header, captured)
  into.payloadLength = Math.max(0, length - header)
  into.payloadCaptured = Math.max(0, Math.min(captured, length) - header)
}

const FLAG_BITS: readonly (readonly [number, string])[] = [
  [0x02, 'S'],
  [0x10, 'A'],
  [0x01, 'F'],
  [0x04, 'R'],
  [0x08, 'P'],
  [0x20, 'U'],
]
const FLAG_TEXTS = Array.from({ length: 64 }, (_, bits) => FLAG_BITS.map(([bit, letter]) => (bits & bit ? letter : '')).join(''))

/** TCP flag bits as text, a subset of `SAFRPU` in that order. */
export function flagsText(bits: number): string {
  return FLAG_TEXTS[bits & 0x3f]!
}

export function protocolName(protocol: number): 'tcp' | 'udp' | 'icmp' | 'other' {
  if (protocol === TCP) return 'tcp'
  if (protocol === UDP) return 'udp'
  return protocol === ICMP || protocol === ICMP6 ? 'icmp' : 'other'
}

/** The packet's source; empty when it is no IP packet. */
export function source(view: DataView, fields: PacketFields): string {
  if (fields.ipVersion === 4) return endpoint4(view, fields.networkOffset + 12, fields.sourcePort)
  return fields.ipVersion === 6 ? endpoint6(view, fields.networkOffset + 8, fields.sourcePort) : ''
}

/** The packet's destination; empty when it is no IP packet. */
export function destination(view: DataView, fields: PacketFields): string {
  if (fields.ipVersion === 4) return endpoint4(view, fields.networkOffset + 16, fields.destinationPort)
  return fields.ipVersion === 6 ? endpoint6(view, fields.networkOffset + 24, fields.destinationPort) : ''
}
