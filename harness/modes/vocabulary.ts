/**
 * The vocabulary of path contracts: what must be true, hop by hop, in plain serialisable data.
 * Ports that only the run knows are variables: `10.244.0.5:$client`.
 */

/** A packet's role in its connection: the first packet each way, and the first data packet each way; of UDP the first datagram each way. */
export type Which = 'syn' | 'syn-ack' | 'data' | 'reply' | 'datagram' | 'answer'

/** What `tcp` peers call each other at one vantage point, from → to as that packet is addressed. */
export interface Flow {
  readonly from: string
  readonly to: string
}

export interface Netns {
  readonly node: string
  /** `node`, or `NAMESPACE.POD`. */
  readonly netns: string
}

export interface Device extends Netns {
  readonly dev: string
}

/** `clear`: the token must be readable here. `sealed`: the whole stream must be here, and the token must not. */
export type Row = 'clear' | 'sealed'

export type Proof =
  | PacketProof
  | TraceProof
  | ConntrackProof
  | SocketProof
  | LogProof
  | ServedProof
  | TokenProof
  | RouteProof
  | OrderProof
  | SilenceProof
  | BytesProof
  | UntouchedProof

/** The packet was here, going this way: as it is, or inside a tunnel's datagram. */
export interface PacketProof extends Device, Flow {
  readonly kind: 'packet'
  readonly which: Which
  readonly direction: 'in' | 'out'
  readonly inside?: Tunnel
  /** Nothing else of its flow may be seen here so: what follows takes another way. */
  readonly alone?: boolean
}

/** A GENEVE datagram by its own ends, and the network that its header names. */
export interface Tunnel extends Flow {
  readonly vni: number
}

/** In its walk from base chain `base`, the packet met this rule (text as `iptables-save` prints it), or ran to the policy, and had this mark afterwards. */
export interface TraceProof extends Netns, Flow {
  readonly kind: 'trace'
  readonly which: Which
  readonly table: string
  readonly base: string
  readonly chain: string
  readonly meets: { readonly rule: string } | { readonly policy: 'accept' }
  readonly mark: number
}

/** Connection tracking knows the connection by these two tuples and gave it this mark. */
export interface ConntrackProof extends Netns {
  readonly kind: 'conntrack'
  readonly orig: Flow
  readonly reply: Flow
  readonly mark: number
  readonly protocol: 'tcp' | 'udp'
  readonly zone: number
}

/** A socket of this connection lived in this namespace and had this mark. */
export interface SocketProof extends Netns {
  readonly kind: 'socket'
  readonly local: string
  readonly peer: string
  readonly mark: number
}

/** ztunnel told of this connection, or of this question for a name; `netns` is the workload's, the log is that of the node's ztunnel. */
export interface LogProof extends Netns {
  readonly kind: 'log'
  readonly target: 'access' | 'dns'
  readonly message: string
  readonly fields: Readonly<Record<string, string>>
  /** Keys that must not be there, such as an identity of a peer that showed none. */
  readonly without: readonly string[]
}

/** The server's own socket saw this peer. */
export interface ServedProof extends Netns {
  readonly kind: 'served'
  /** What it took it for. */
  readonly protocol: Spoken
  readonly peer: string
  readonly local: string
}

/** The recorded policy rule and route from which the kernel's decision follows: computed, not seen, so it can only be missing. */
export interface RouteProof extends Netns {
  readonly kind: 'route'
  /** A line of `ip rule`. */
  readonly rule: string
  /** How a line of `ip route show table all` begins. */
  readonly route: string
}

/** What the sentinel finds in the streams of both directions here. */
export interface TokenProof extends Device {
  readonly kind: 'token'
  readonly row: Row
  readonly forward: Flow
  /** Absent where nothing is answered. */
  readonly backward?: Flow
  /** Only so many first and last bytes of each direction are looked at, and must be whole: what lies between was not kept. */
  readonly ends?: number
}

/** Both directions of the connection, from its first byte to its end, had exactly so many bytes here: by sequence numbers, whatever was kept of them. */
export interface BytesProof extends Device {
  readonly kind: 'bytes'
  readonly forward: Flow
  readonly backward: Flow
  readonly bytes: number
}

/** ztunnel, the node's or all (`netns` is the workload's), tells of no connection from this end: it had no part in it. */
export interface SilenceProof extends Netns {
  readonly kind: 'silence'
  readonly end: string
}

/** In each snapshot the namespace has what a pod has without a mesh, and in all the same: no netfilter rule, the kernel's own policy rules, routes in no table but the usual, these devices, the same settings. */
export interface UntouchedProof extends Netns {
  readonly kind: 'untouched'
  /** Lines of `ip rule`. */
  readonly policyRules: readonly string[]
  readonly devices: readonly string[]
}

/** In which order the two sides of the connection speak and end here. */
export interface OrderProof extends Device {
  readonly kind: 'order'
  readonly order: Order
  readonly forward: Flow
  readonly backward: Flow
}

/** `server-speaks-first`: the first bytes are the server's. `client-ends-first`: the server says nothing before the client's end, then speaks and ends. `server-ends-first`: the client speaks after the server's end, then ends. */
export type Order = 'server-speaks-first' | 'client-ends-first' | 'server-ends-first'

/** What a server's log calls what it served. */
export type Spoken = 'http' | 'http2' | 'tcp' | 'udp' | 'dns'

export interface Hop {
  /** Unique in the case: `LEG/SLUG`. */
  readonly id: string
  readonly title: string
  /** `node/netns[/dev]` */
  readonly vantage: string
  readonly proofs: readonly Proof[]
}

export interface Leg {
  readonly id: string
  readonly title: string
  readonly row: Row
  /** The connection was opened earlier in the run: its SYN and SYN-ACK are proven by that opening, and no second one may be here. */
  readonly reused: boolean
  /** The fact-sheet rows that this table is written from. */
  readonly facts: string
  readonly hops: readonly Hop[]
}

/** Where a variable's port is read from. */
export type Binding =
  | { readonly from: 'client' }
  /** The port that the client asked its name server from. */
  | { readonly from: 'question' }
  /** The whole end, address and port, that address translation left one side of the connection: the asker's, or the asked's. */
  | ({ readonly from: 'translation'; readonly orig: Flow; readonly side: 'asker' | 'asked' } & Netns)
  | ({ readonly from: 'packet'; readonly source: string; readonly to: string; readonly direction?: 'in' | 'out' } & Device)
  /** The source port of the datagram that carried the packet that opened a connection: a hash. */
  | ({ readonly from: 'tunnel'; readonly inner: Flow } & Device)
  /** The port that address translation left the connection's initiator: where its answers are sent. */
  | ({ readonly from: 'conntrack'; readonly orig: Flow } & Netns)

export interface Path {
  readonly legs: readonly Leg[]
  readonly bindings: Readonly<Record<string, Binding>>
  readonly outcome: Outcome
}

/**
 * How the request must end: served, or `resolved` (a name server answered with the addresses); or without the server having seen it: `refused` in whatever way, `closed` (the connection stood and ended without an answer),
 * or the CONNECT of the client's own tunnel answered with a status. `cut-off`: the server has seen it, and the connection is
 * closed before the answer.
 */
export type Outcome = 'served' | 'resolved' | 'refused' | 'closed' | 'cut-off' | `answered ${number}`
