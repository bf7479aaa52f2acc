import type { ReportCase, ReportProof } from '../../report.ts'

// What the report says in plain words. Anything that is not here is shown by its own name.

const values: Readonly<Record<string, string>> = {
  'mesh-to-mesh': 'mesh → mesh',
  'mesh-to-plain': 'mesh → plain',
  'plain-to-mesh': 'plain → mesh',
  probe: 'probes',
  self: 'self-call',
  direct: 'direct to the proxy’s ports',
  forged: 'forged HBONE',
  disruption: 'disruptions',
  'same-node': 'same node',
  'other-node': 'other node',
  'pod-ip': 'pod IP',
  'cluster-ip': 'service IP',
  headless: 'headless name',
  http: 'HTTP/1.1',
  http2: 'HTTP/2',
  tcp: 'TCP',
  udp: 'UDP',
  dns: 'DNS',
}

/** A value of an axis, as a reader would write it. */
export const valueWords = (value: string): string => values[value] ?? value.replaceAll('-', ' ')

const groups: Readonly<Record<string, string>> = {
  'mesh-to-mesh': 'Both ends are in the mesh. Between their pods nobody may be able to read the request.',
  'mesh-to-plain': 'Only the client is in the mesh. Its ztunnel passes the request on as it is.',
  'plain-to-mesh': 'Only the server is in the mesh. Its ztunnel takes the request in as it enters the pod.',
  probe: 'The node’s health checks must reach the app without passing through ztunnel.',
  self: 'A pod calls a service that it serves itself.',
  direct: 'Somebody calls the proxy’s own ports, which are not for him.',
  forged: 'Somebody speaks HBONE with an identity that must not be accepted.',
  disruption: 'Requests without a pause while a part of the mesh restarts or changes: every one is accounted for.',
}

export const groupWords = (group: string): string => groups[group] ?? ''

export const verdictWords: Readonly<Record<string, string>> = {
  pass: 'passed',
  fail: 'failed',
  unsupported: 'not supported',
  inconclusive: 'inconclusive',
  error: 'error',
}

/** What happens at a hop, for somebody who never saw it, by the hop's title. */
const hops: Readonly<Record<string, string>> = {
  'is turned around':
    'The app dials its destination as always. A NAT rule in the pod turns the connection to ztunnel on port 15001; the app does not notice.',
  'runs over lo': 'The turned packet never leaves the pod: it runs over the loopback device, out and in again.',
  'is answered by ztunnel':
    'ztunnel accepts the connection in the app’s place. Its socket carries a mark by which later rules know its packets.',
  'carries the request': 'The request itself runs over this connection, readable, because it is still inside the pod.',
  'leaves ztunnel uncaptured': 'What ztunnel sends itself must not be turned around again: its mark spares it.',
  'leaves the pod': 'The packet leaves the pod by its own network device.',
  'enters the node': 'The pod’s device has a twin on the node; there the packet comes out.',
  'leaves the node': 'The packet leaves the node on the network between nodes.',
  'enters the server’s node': 'The packet arrives at the server’s node.',
  'leaves for the server’s pod': 'The node sends the packet into the twin of the server pod’s device.',
  'enters the server’s pod': 'The packet arrives in the server’s pod.',
  'is left to the HBONE listener': 'In the server’s pod no rule may turn this packet: it is for ztunnel’s port 15008 already.',
  'is terminated with both identities': 'The server’s ztunnel opens the tunnel, and both sides have proven by certificate who they are.',
  'is refused by policy': 'The server’s ztunnel knows who calls, and a policy says no: nothing reaches the app.',
  'is told by the client side': 'The client’s ztunnel tells of the same connection in its access log.',
  'leaves with the client’s address': 'ztunnel dials the app from the client’s own address, so that the app sees who calls.',
  'marks its connection': 'As this packet comes in over lo, a rule marks its connection: the answer must find back to ztunnel.',
  'is answered by way of lo': 'The app answers the client’s address, but the mark sends the answer over lo to ztunnel.',
  'is served': 'The app got the request, and its own socket says from whom.',
  'is turned to ztunnel': 'A plaintext packet from outside the mesh is turned to ztunnel’s port 15006.',
  'reaches ztunnel': 'ztunnel accepts it, knows that nobody proved an identity, and says so in its log.',
  'is given the probe address': 'The node’s health check gets a special source address, by which pods recognise it.',
  'enters the pod': 'The packet arrives in the pod.',
  'passes by ztunnel': 'The rule for the probe address lets the health check through to the app.',
  'is answered directly': 'The app answers the health check itself.',
  'comes home': 'The answer is back on the node.',
  'leaks nowhere':
    'The request carries a secret word. It was looked for in every packet at every vantage point, and may be readable only where the path is clear.',
  'strays nowhere': 'Packets of these connections may be seen only where the path lists them.',
  'streams were alive':
    'Marker packets before and after the request show that every capture and every rule trace was working, and nothing was lost.',
  'positive control': 'A request outside the mesh on the same nodes is served: the network itself works.',
  'negative control': 'The same request without its one decisive condition must end the other way: the test can tell the difference.',
  'is refused': 'The request must not be answered, and no server may have seen it.',
  'opens no second tunnel': 'The tunnel that was there already is used again.',
}

export const hopWords = (title: string): string | undefined => hops[title.replaceAll("'", '’')] ?? hops[title]

const roles: Readonly<Record<string, string>> = {
  syn: 'first packet (SYN)',
  'syn-ack': 'first answer (SYN, ACK)',
  data: 'first packet with data',
  reply: 'first answer with data',
}

/** What a proof asks for, in one line. */
export function proofTitle({ kind, asked, expected }: ReportProof): string {
  const which = roles[String(asked?.which)] ?? 'packet'
  switch (asked ? kind : '') {
    case 'packet':
      return `The ${which} is seen ${asked!.direction === 'in' ? 'coming in' : 'going out'} at ${asked!.dev}`
    case 'trace':
      return 'rule' in (asked!.meets as object)
        ? `The ${which} meets this rule in ${asked!.table} ${asked!.chain}`
        : `No rule of ${asked!.table} ${asked!.chain} touches the ${which}`
    case 'conntrack':
      return `The kernel tracks this connection, mark ${hex(asked!.mark)}`
    case 'socket':
      return `A socket with mark ${hex(asked!.mark)} held this connection`
    case 'log':
      return `ztunnel’s access log tells of it: “${asked!.message}”`
    case 'served':
      return 'The server’s own socket saw this peer'
    case 'token':
      return asked!.row === 'clear'
        ? `The secret word is readable at ${asked!.dev}`
        : `The secret word cannot be read at ${asked!.dev}, in the whole stream`
    case 'route':
      return 'A policy rule and a route send it there'
    default:
      return expected
  }
}

/** Of what the judge names as the likely cause, the rule: that is what a reader looks for on his node. */
export function likelyWords(likely: string): string {
  const [, rule, where] = / meets "(.*)" in (\S+ \S+) of /.exec(likely) ?? []
  return rule ? `${rule}  (table ${where})` : likely
}

export const hex = (n: unknown): string => `0x${Number(n).toString(16)}`

/** `demo.httpbin-two-a` → its pod's name. */
export const podName = (netns: string): string => (netns === 'node' ? 'node' : netns.slice(netns.indexOf('.') + 1))
export const namespaceName = (netns: string): string => (netns === 'node' ? '' : netns.slice(0, netns.indexOf('.')))

/** A case in a few words: what is asked, of whom, from where. */
export function caseWords(c: Pick<ReportCase, 'id' | 'axes'>): string {
  const { traffic, placement, address, protocol, policy, connection, exchange } = c.axes
  const variant = c.id.split('/').slice(5).join(' ')
  if (!traffic) return c.id.split('/').slice(1).map(valueWords).join(', ')
  const plain = [traffic, placement, address, protocol].filter((x) => x !== undefined).map(valueWords)
  const more = [
    policy && policy !== 'none' ? `policy ${policy}` : '',
    connection === 'pooled' ? 'on a tunnel that was open' : '',
    exchange && exchange !== 'echo' ? valueWords(exchange) : '',
  ]
  const said = more.filter(Boolean)
  return [...plain, ...(said.length > 0 ? said : variant ? [valueWords(variant)] : [])].join(', ')
}

/** A time span, microseconds, short. */
export function spanWords(us: number): string {
  const ms = us / 1000
  if (Math.abs(ms) < 10) return `${ms.toFixed(2)} ms`
  return Math.abs(ms) < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`
}
