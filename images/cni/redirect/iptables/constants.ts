/** Constants of Istio's redirection mode `iptables` (Istio 1.18 to 1.20, cni/pkg/ambient/constants); all are on the wire or in the kernel, so they are upstream's to the bit. */

/** Bits of packet and connection marks on the node, each set and matched under itself as mask. */
export const mark = {
  /** Goes by the main table. The bit is in `fromProxy` and `passed` too. */
  skip: '0x200/0x200',
  /** TCP of an enrolled pod that is not known to be proxied yet: into the tunnel `istioout`. */
  outbound: '0x100/0x100',
  /** Goes back to the proxy as it is, beside the tunnel. */
  toProxy: '0x40/0x40',
  /** The proxy sent it with a foreign source; saved as the connection's mark. */
  fromProxy: '0x210/0x210',
  /** The proxy's own traffic, and all UDP; saved as the connection's mark. */
  passed: '0x220/0x220',
} as const

/** Packet marks in the proxy's namespace: delivered locally. */
export const proxyMark = {
  /** By TPROXY, out of a tunnel. */
  captured: '0x400/0xfff',
  /** Beside the tunnel, for a socket with a foreign address. */
  answered: '0x4d3/0xfff',
} as const

/** Tables of routes on the node and, with other contents, in the proxy's namespace. */
export const table = { inbound: 100, outbound: 101, proxy: 102 } as const

/** The priority that `goto` leads to: the kernel's own rule for the main table. */
export const mainRulePriority = 32766

export interface Tunnel {
  /** Link on the node and in the proxy's namespace. */
  readonly node: string
  readonly proxy: string
  /** Virtual network identifier, 24 bits. */
  readonly vni: number
  /** The /30 between them: addresses of both ends. */
  readonly nodeAddress: string
  readonly proxyAddress: string
}

export const tunnels = {
  inbound: { node: 'istioin', proxy: 'pistioin', vni: 1000, nodeAddress: '192.168.126.1', proxyAddress: '192.168.126.2' },
  outbound: { node: 'istioout', proxy: 'pistioout', vni: 1001, nodeAddress: '192.168.127.1', proxyAddress: '192.168.127.2' },
} as const satisfies Record<string, Tunnel>

/** GENEVE's UDP port (RFC 8926 section 3.3). */
export const genevePort = 6081
/** Ethernet 14, IPv4 20, UDP 8, GENEVE 8 bytes are what a tunnel adds (RFC 8926 section 3). */
export const geneveOverhead = 50

export const podSet = 'ztunnel-pods-ips'

export const outboundPort = 15001
export const inboundPort = 15006
export const hbonePort = 15008
export const dnsPort = 15053
