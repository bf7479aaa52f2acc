/**
 * Observations: parsed facts, each with a pointer (`ref`) back to the line or packet of the bundle that it came from.
 * `ref` is `FILE#pN` for the N-th packet block (from 0) of a pcapng file, `FILE#LN` for line N (from 1) of a text file.
 * `t` is wall clock in microseconds since 1970 (a double keeps a quarter of a microsecond).
 * `netns` is `node` for the node's own namespace, else `NAMESPACE.POD`.
 */
interface Base {
  readonly ref: string
  readonly node: string
  readonly netns: string
}

/** One end of a flow, `10.244.0.5:8080`; IPv6 in brackets. */
export type Endpoint = string

/** What is read of an Ethernet frame. */
export interface Frame {
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'other'
  readonly from: Endpoint
  readonly to: Endpoint
  readonly macFrom: string
  readonly macTo: string
  /** TCP only: subset of `SAFRPU` in that order, such as `SA`. */
  readonly flags: string
  readonly seq: number
  readonly ack: number
  /** Bytes of transport payload that the packet had on the wire, from the IP total length. */
  readonly payloadLength: number
  /** Those of them that were captured. Shorter than `payloadLength`: truncated. */
  readonly payload: Uint8Array
}

export interface PacketObservation extends Base, Frame {
  readonly kind: 'packet'
  readonly t: number
  /** Interface name as the kernel has it, such as `eth0`, `veth1a2b3c4d`, `lo`. */
  readonly dev: string
  /** As the interface saw it (sll_pkttype 4: out). On `lo` each packet is seen once each way. */
  readonly direction: 'in' | 'out'
  /** Of a datagram to a tunnel's port (UDP 6081, 6082): the frame that it carries. */
  readonly tunnel?: TunnelledFrame
}

/** A frame inside a tunnel's datagram, whose own fields are the outer ones. */
export interface TunnelledFrame extends Frame {
  /** The header's form on the wire: GENEVE (RFC 8926), or VXLAN (RFC 7348). */
  readonly header: 'geneve' | 'vxlan'
  /** 24 bits. */
  readonly vni: number
}

export interface TraceObservation extends Base {
  readonly kind: 'trace'
  readonly t: number
  /** The kernel's id of this packet's walk; unique only nearby in time. */
  readonly traceId: string
  readonly family: 'ip' | 'ip6' | 'inet'
  readonly table: string
  readonly chain: string
  /** What the line tells: a rule that matched, an end of a chain, the base chain's policy. */
  readonly type: 'rule' | 'return' | 'policy'
  readonly handle?: number
  /** Rules of iptables-legacy tables; absent: nf_tables. */
  readonly backend?: 'legacy'
  /** iptables-legacy: the rule's number in its chain, from 1. */
  readonly number?: number
  /** The rule as `iptables-save` prints it, without counters (found by the handle in the namespace's rule dump); for an nft table that is not iptables': absent. */
  readonly rule?: string
  /** `accept`, `drop`, `jump NAME`, `goto NAME`, `continue`, `return`, `queue`, `stolen`; `unknown` for an iptables-legacy line whose rule no snapshot knows */
  readonly verdict: string
  /** skb mark when the line was written (after the rule). */
  readonly mark: number
  readonly iif?: string
  readonly oif?: string
  /** The packet as it was when this base chain began. */
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'other'
  readonly from: Endpoint
  readonly to: Endpoint
  readonly flags: string
  readonly seq: number
}

export interface Tuple {
  readonly from: Endpoint
  readonly to: Endpoint
}

export interface ConntrackObservation extends Base {
  readonly kind: 'conntrack'
  readonly t: number
  readonly event: 'new' | 'update' | 'destroy' | 'entry'
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'other'
  readonly orig: Tuple
  readonly reply: Tuple
  readonly mark: number
  readonly zone: number
  /** enum ip_conntrack_status bits. */
  readonly status: number
}

/** A TCP socket as the kernel destroyed it (sock_diag destroy group, what `ss -E` shows). */
export interface SocketObservation extends Base {
  readonly kind: 'socket'
  readonly t: number
  readonly local: Endpoint
  readonly peer: Endpoint
  readonly mark: number
  readonly uid: number
}

/** A line of ztunnel's log. */
export interface ZtunnelLogObservation extends Base {
  readonly kind: 'ztunnel-log'
  readonly t: number
  readonly level: string
  readonly target: string
  readonly message: string
  /** Keys as in the access log: `src.addr`, `dst.hbone_addr`, `direction`, `error` …; values unquoted. */
  readonly fields: Readonly<Record<string, string>>
}

/** A line of httpbin's log: what a server's own socket saw. `netns` is the server's pod. */
export interface ServedObservation extends Base {
  readonly kind: 'served'
  readonly t: number
  readonly protocol: 'http' | 'http2' | 'tcp' | 'udp'
  readonly peer: Endpoint
  readonly local: Endpoint
  /** Its first bytes. */
  readonly body: string
  /** Of all of it. */
  readonly bytes?: number | undefined
  readonly sha256?: string | undefined
}

/** A listening TCP or bound UDP socket in a snapshot. */
export interface ListenerObservation extends Base {
  readonly kind: 'listener'
  readonly snapshot: string
  readonly protocol: 'tcp' | 'udp'
  /** `*:15001`, `127.0.0.1:15053`, `[::1]:15053` */
  readonly local: Endpoint
  readonly mark: number
}

/** A rule of iptables-save in a snapshot, with its counters. */
export interface RuleObservation extends Base {
  readonly kind: 'rule'
  readonly snapshot: string
  readonly family: 'ip' | 'ip6'
  readonly table: string
  readonly chain: string
  /** From 0 inside its chain. */
  readonly position: number
  readonly rule: string
  readonly packets: number
  readonly bytes: number
}

/** One line of `ip rule`, `ip route show table all` or a member of an ipset, spaces squeezed; a device with its kind, MTU and addresses; all IPv4 settings of a namespace at once. */
export interface StateObservation extends Base {
  readonly kind: 'policy-rule' | 'route' | 'set-member' | 'link' | 'settings'
  readonly snapshot: string
  readonly family: 'ip' | 'ip6'
  /** Set members: the set's name. */
  readonly set?: string
  readonly line: string
}

/** A marker: proof that a capture and a trace stream were alive at that time. */
export interface MarkerObservation extends Base {
  readonly kind: 'marker'
  readonly t: number
  readonly stream: 'packets' | 'traces'
  /** Id as given to the collector. */
  readonly id: string
}

/** What a stream lost since it was last asked; zero is an observation too. */
export interface LossObservation extends Base {
  readonly kind: 'loss'
  readonly t: number
  readonly stream: 'packets' | 'traces' | 'conntrack' | 'sockets' | 'logs'
  readonly lost: number
  /** Packets that were not written whole: those in the middle of long connections, and the bytes that they lack. */
  readonly truncated?: { readonly packets: number; readonly bytes: number } | undefined
}

/** How one request of a load ended, from its client's point of view. Times of the client in milliseconds since 1970. */
export interface LoadAnswerObservation extends Base {
  readonly kind: 'load-answer'
  readonly t: number
  readonly load: string
  readonly seq: number
  readonly token: string
  /** Which kept connection carried it. */
  readonly connection?: number | undefined
  readonly ok: boolean
  readonly error?: string | undefined
  readonly startedAt: number
  readonly endedAt: number
}

/** A load has ended: so many requests were numbered. */
export interface LoadEndObservation extends Base {
  readonly kind: 'load-end'
  readonly t: number
  readonly load: string
  readonly sent: number
  readonly startedAt: number
  readonly endedAt: number
}

/** A token of a load that was readable in a packet; told once for each device. */
export interface SightingObservation extends Base {
  readonly kind: 'sighting'
  readonly t: number
  readonly dev: string
  readonly direction: 'in' | 'out'
  readonly token: string
}

/**
 * A line of the timeline. Of a pod (`netns`), as the API told it: `enrolled` and `left` (the redirection annotation came, went), `ready`, `unready`, `deleting`, `gone`.
 * Of the harness: `load-begins`, `load-ends`, `asked`, `done`, `marker`, with `detail`.
 */
export interface EventObservation extends Base {
  readonly kind: 'event'
  readonly t: number
  readonly what: string
  readonly detail?: string | undefined
}

export type Observation =
  | PacketObservation
  | TraceObservation
  | ConntrackObservation
  | SocketObservation
  | ZtunnelLogObservation
  | ServedObservation
  | ListenerObservation
  | RuleObservation
  | StateObservation
  | MarkerObservation
  | LossObservation
  | LoadAnswerObservation
  | LoadEndObservation
  | SightingObservation
  | EventObservation
