import type {
  BytesProof,
  ConntrackProof,
  Device,
  Flow,
  Hop,
  Leg,
  LogProof,
  Netns,
  Order,
  OrderProof,
  PacketProof,
  Proof,
  RouteProof,
  Row,
  ServedProof,
  SilenceProof,
  SocketProof,
  Spoken,
  TokenProof,
  TraceProof,
  Tunnel,
  UntouchedProof,
  Which,
} from './vocabulary.ts'

export type * from './vocabulary.ts'

// Builders: a leg table should read like the fact sheet's.

export const leg = (id: string, title: string, row: Row, facts: string, hops: readonly Omit<Hop, 'id'>[], reused = false): Leg => ({
  id,
  title,
  row,
  reused,
  facts,
  hops: hops.map((h) => ({ ...h, id: `${id}/${slug(h.title)}` })),
})

export const hop = (title: string, at: Netns | Device, ...proofs: readonly Proof[]): Omit<Hop, 'id'> => ({
  title,
  vantage: 'dev' in at ? `${at.node}/${at.netns}/${at.dev}` : `${at.node}/${at.netns}`,
  proofs,
})

export const flow = (from: string, to: string): Flow => ({ from, to })
export const back = ({ from, to }: Flow): Flow => ({ from: to, to: from })

export const packet = ({ node, netns, dev }: Device, direction: 'in' | 'out', which: Which, { from, to }: Flow): PacketProof => ({
  kind: 'packet',
  node,
  netns,
  dev,
  direction,
  which,
  from,
  to,
})

/** What opens a connection, and goes another way than all that follows: here as it is, or inside a tunnel. */
export const opening = ({ node, netns, dev }: Device, direction: 'in' | 'out', { from, to }: Flow, inside?: Tunnel): PacketProof => ({
  kind: 'packet',
  node,
  netns,
  dev,
  direction,
  which: 'syn',
  from,
  to,
  alone: true,
  ...(inside && { inside }),
})

/** @param where `TABLE BASE [CHAIN]`, such as `nat OUTPUT ISTIO_OUTPUT` */
export const trace = (
  { node, netns }: Netns,
  which: Which,
  { from, to }: Flow,
  where: string,
  meets: TraceProof['meets'],
  mark: number,
): TraceProof => {
  const [table = '', base = '', chain = base] = where.split(' ')
  return { kind: 'trace', node, netns, which, from, to, table, base, chain, meets, mark }
}

export const conntrack = (
  { node, netns }: Netns,
  orig: Flow,
  reply: Flow,
  mark: number,
  { protocol = 'tcp', zone = 0 }: { readonly protocol?: 'tcp' | 'udp'; readonly zone?: number } = {},
): ConntrackProof => ({
  kind: 'conntrack',
  node,
  netns,
  orig,
  reply,
  mark,
  protocol,
  zone,
})

export const socket = ({ node, netns }: Netns, local: string, peer: string, mark: number): SocketProof => ({
  kind: 'socket',
  node,
  netns,
  local,
  peer,
  mark,
})

export const log = (
  { node, netns }: Netns,
  message: string,
  fields: Readonly<Record<string, string>>,
  without: readonly string[] = [],
): LogProof => ({ kind: 'log', target: 'access', node, netns, message, fields, without })

/** ztunnel's line for a question: it names who asked for what, and no port. */
export const dnsLog = ({ node, netns }: Netns, fields: Readonly<Record<string, string>>): LogProof => ({
  kind: 'log',
  target: 'dns',
  node,
  netns,
  message: '',
  fields,
  without: [],
})

export const served = ({ node, netns }: Netns, protocol: Spoken, peer: string, local: string): ServedProof => ({
  kind: 'served',
  node,
  netns,
  protocol,
  peer,
  local,
})

/** The same proof, for a connection of which only its ends were kept. */
export const atEnds = (proof: TokenProof, ends: number): TokenProof => ({ ...proof, ends })

export const bytes = ({ node, netns, dev }: Device, count: number, forward: Flow, backward: Flow = back(forward)): BytesProof => ({
  kind: 'bytes',
  node,
  netns,
  dev,
  forward,
  backward,
  bytes: count,
})

export const silence = ({ node, netns }: Netns, end: string): SilenceProof => ({ kind: 'silence', node, netns, end })

/** Of a pod whose network is an `eth0` and its `lo`. */
export const untouched = ({ node, netns }: Netns): UntouchedProof => ({
  kind: 'untouched',
  node,
  netns,
  policyRules: ['0: from all lookup local', '32766: from all lookup main', '32767: from all lookup default'],
  devices: ['lo', 'eth0'],
})

export const order = ({ node, netns, dev }: Device, what: Order, forward: Flow, backward: Flow = back(forward)): OrderProof => ({
  kind: 'order',
  node,
  netns,
  dev,
  order: what,
  forward,
  backward,
})

export const token = ({ node, netns, dev }: Device, row: Row, forward: Flow, backward: Flow = back(forward)): TokenProof => ({
  kind: 'token',
  node,
  netns,
  dev,
  row,
  forward,
  backward,
})

/** The request's way only: nothing is answered here. */
export const requestToken = ({ node, netns, dev }: Device, row: Row, forward: Flow): TokenProof => ({
  kind: 'token',
  node,
  netns,
  dev,
  row,
  forward,
})

export const route = ({ node, netns }: Netns, rule: string, line: string): RouteProof => ({ kind: 'route', node, netns, rule, route: line })

function slug(title: string): string {
  return title
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '')
}
