import { decodeEthernet, type PacketFields, UDP } from './packet.ts'

/** UDP ports that redirection tunnels use: GENEVE's (RFC 8926 section 3.3), and the next one where another overlay network has it (facts geneve-mode 1.2). */
const tunnelPorts: readonly number[] = [6081, 6082]

/** Both headers without options, bytes. */
const HEADER = 8
/** Transparent Ethernet bridging (RFC 8926 section 3.4). */
const ETHERNET = 0x6558
/** VXLAN's first word: the identifier is valid, all else reserved (RFC 7348 section 5). */
const VXLAN_FLAGS = 0x08000000

/** Of a datagram to a tunnel's port: the header's form, the network's identifier, and where the frame inside lies. */
export interface TunnelHeader {
  /** As it is on the wire. A device of the other kind can have carried it: its header may be rewritten on the way. */
  readonly form: 'geneve' | 'vxlan'
  readonly vni: number
}

/**
 * Reads the tunnel header behind a datagram's UDP header, and the Ethernet frame that follows it. Never throws.
 * @param outer the datagram, decoded @param into the frame inside, when there is one
 * @returns undefined: no datagram to a tunnel's port, its header was not captured, or what it carries is no Ethernet frame
 */
export function decodeTunnel(view: DataView, outer: PacketFields, into: PacketFields): TunnelHeader | undefined {
  const { protocol, destinationPort, payloadOffset, payloadCaptured, payloadLength } = outer
  if (protocol !== UDP || payloadCaptured < HEADER || !tunnelPorts.includes(destinationPort)) return undefined
  const first = view.getUint32(payloadOffset)
  const second = view.getUint32(payloadOffset + 4)
  const form = formOf(first)
  // The byte behind the identifier is reserved in both.
  if (!form || (second & 0xff) !== 0) return undefined
  const header = form === 'geneve' ? HEADER + ((first >>> 24) & 0x3f) * 4 : HEADER
  if (header > payloadLength || header > payloadCaptured) return undefined
  decodeEthernet(view, payloadOffset + header, payloadCaptured - header, payloadLength - header, into)
  return { form, vni: second >>> 8 }
}

/** GENEVE: version 0, no control message (O), six bits reserved, an Ethernet frame. VXLAN's first word would be options without a protocol to it. */
function formOf(word: number): TunnelHeader['form'] | undefined {
  if (word === VXLAN_FLAGS) return 'vxlan'
  return word >>> 30 === 0 && (word & 0x00bf0000) === 0 && (word & 0xffff) === ETHERNET ? 'geneve' : undefined
}
