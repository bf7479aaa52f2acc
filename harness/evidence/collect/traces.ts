import { attributes, be32, NETLINK_NETFILTER, NetlinkSocket, text } from './netlink.ts'

// include/uapi/linux/netfilter/nfnetlink.h, nf_tables.h
const NFNLGRP_NFTRACE = 9
const NFT_MSG_TRACE = (10 << 8) | 17
const TABLE = 1
const CHAIN = 2
const RULE_HANDLE = 3
const TYPE = 4
const VERDICT = 5
const ID = 6
const LL_HEADER = 7
const NETWORK_HEADER = 8
const TRANSPORT_HEADER = 9
const IIF = 10
const OIF = 12
const MARK = 14
const NFPROTO = 15
const POLICY = 16
const VERDICT_CODE = 1
const VERDICT_CHAIN = 2

const types: Record<number, Trace['type']> = { 1: 'policy', 2: 'return', 3: 'rule' }
const families: Record<number, Trace['family']> = { 1: 'inet', 2: 'ip', 10: 'ip6' }
const verdicts: Record<number, string> = {
  0: 'drop',
  1: 'accept',
  2: 'stolen',
  3: 'queue',
  4: 'repeat',
  [-1]: 'continue',
  [-2]: 'break',
  [-3]: 'jump',
  [-4]: 'goto',
  [-5]: 'return',
}

/**
 * One line of a packet's walk through the rules: a rule that matched, the end of a chain, or a base chain's policy. All chains of iptables-nft are nf_tables chains, so
 * their rules are here with the handle that `nft -a list` prints; a rule that did not match leaves no line.
 *
 * Which packet: the kernel sends the headers (and the interfaces) once for each base-chain walk, in the walk's first line; the lines that follow carry only `traceId`. The next base chain (next
 * table or next hook) sends them again, as they are by then, so a reader learns the addresses before and after NAT. `ll` is there for packets that came in over a device with a link-layer header;
 * `nh` has up to 40 bytes, `th` up to 20: for UDP that is 12 bytes of payload.
 *
 * A nat chain is walked by the first packet of a connection only: for a SYN-ACK, or data, no line of table nat is to be expected. Measured on Linux 6.18 with iptables-nft 1.8.9.
 */
export interface Trace {
  /** Kernel's id of the packet at one hook, hex: the same in all tables there, another at the next hook. Made from the packet's memory address, so it comes again for later packets. */
  readonly traceId: string
  readonly family: 'ip' | 'ip6' | 'inet'
  readonly table: string
  readonly chain: string
  readonly type: 'rule' | 'return' | 'policy'
  readonly handle?: number
  /** `accept`, `drop`, `jump NAME`, `goto NAME`, `continue`, `return` … */
  readonly verdict: string
  /** skb mark when the line was made, after the rule ran. */
  readonly mark: number
  /** Interface names. */
  readonly iif?: string
  readonly oif?: string
  /** Headers in hex: link, network, transport. */
  readonly ll?: string
  readonly nh?: string
  readonly th?: string
}

/** Decodes one nf_tables trace message (behind the netlink header); undefined when it is something else. `name` turns an interface index into its name. */
export function decodeTrace(type: number, body: Buffer, name: (index: number) => string): Trace | undefined {
  if (type !== NFT_MSG_TRACE || body.length < 4) return undefined
  const a = attributes(body, 4)
  const handle = a.get(RULE_HANDLE)
  const iif = be32(a.get(IIF))
  const oif = be32(a.get(OIF))
  const ll = a.get(LL_HEADER)
  const nh = a.get(NETWORK_HEADER)
  const th = a.get(TRANSPORT_HEADER)
  const kind = types[be32(a.get(TYPE)) ?? 0] ?? 'rule'
  return {
    traceId: (be32(a.get(ID)) ?? 0).toString(16).padStart(8, '0'),
    // The table's family; NFPROTO is the packet's, which differs only for inet tables.
    family: families[body[0]!] ?? families[be32(a.get(NFPROTO)) ?? 0] ?? 'inet',
    table: text(a.get(TABLE)) ?? '',
    chain: text(a.get(CHAIN)) ?? '',
    // Running off a chain's end is told as a rule without a handle (the kernel's own last "rule", Linux 5.17 and later).
    type: kind === 'rule' && handle === undefined ? 'return' : kind,
    ...(handle ? { handle: Number(handle.readBigUInt64BE(0)) } : {}),
    verdict: decodeVerdict(a.get(VERDICT), a.get(POLICY)),
    mark: be32(a.get(MARK)) ?? 0,
    ...(iif === undefined ? {} : { iif: name(iif) }),
    ...(oif === undefined ? {} : { oif: name(oif) }),
    ...(ll ? { ll: ll.toString('hex') } : {}),
    ...(nh ? { nh: nh.toString('hex') } : {}),
    ...(th ? { th: th.toString('hex') } : {}),
  }
}

function decodeVerdict(verdict: Buffer | undefined, policy: Buffer | undefined): string {
  if (!verdict) return verdicts[be32(policy) ?? 1] ?? 'accept'
  const inner = attributes(verdict)
  // Netfilter puts a queue number or an errno in the upper half.
  const code = inner.get(VERDICT_CODE)?.readInt32BE(0) ?? 1
  const word = verdicts[code] ?? verdicts[code & 0xff] ?? String(code)
  const chain = text(inner.get(VERDICT_CHAIN))
  return chain === undefined ? word : `${word} ${chain}`
}

/** Rule traces of one namespace. */
export function openTraces(netns: number): NetlinkSocket {
  return new NetlinkSocket(netns, NETLINK_NETFILTER, [NFNLGRP_NFTRACE], 8 << 20)
}
