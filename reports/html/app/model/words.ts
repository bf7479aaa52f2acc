import type { ReportCase, ReportProof } from '../../report.ts'

// What the report says in plain words. Anything that is not here is shown by its own name.

const values: Readonly<Record<string, string>> = {
  'mesh-to-mesh': 'mesh → mesh',
  'mesh-to-plain': 'mesh → plain',
  'plain-to-mesh': 'plain → mesh',
  probe: 'probes',
  self: 'self-call',
  direct: 'direct to the proxy’s ports',
  'mesh-to-impostor': 'mesh → impostor',
  'mesh-to-dns': 'mesh → name server',
  bulk: '8 MiB both ways',
  'client-half-close': 'client ends first',
  'server-half-close': 'server ends first',
  'server-first': 'server speaks first',
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

/** What is special about a case: the last name of its id. */
const variants: Readonly<Record<string, string>> = {
  pooled: 'on an open tunnel',
  allowed: 'a policy allows it',
  denied: 'a policy forbids it',
  strict: 'under strict mutual TLS',
  revoked: 'a policy comes too late',
  'mesh-name': 'name of the mesh',
  'mesh-name-tcp': 'name of the mesh, over TCP',
  'other-name-tcp': 'name of no service, over TCP',
  'other-name': 'name of no service',
  uncaptured: 'pod that opted out',
  'foreign-ca': 'certificate of another CA',
  'foreign-trust-domain': 'another trust domain',
  disallowed: 'somebody who may not',
  'other-authority': 'asks for another pod',
}

/** A variant of a case, as a reader would write it; `plain-15001`: who calls which port. */
export function variantWords(name: string): string {
  const [, caller, port] = /^(plain|mesh|own)-(\d+)$/.exec(name) ?? []
  if (port) return `port ${port}, from ${{ plain: 'a plain pod', mesh: 'a pod of the mesh', own: 'the pod itself' }[caller!]}`
  return variants[name] ?? valueWords(name)
}

/** A value of an axis, as a reader would write it. */
export const valueWords = (value: string): string => values[value] ?? value.replaceAll('-', ' ')

const groups: Readonly<Record<string, string>> = {
  'mesh-to-mesh': 'Both ends are in the mesh. Between their pods nobody may be able to read the request.',
  'mesh-to-plain': 'Only the client is in the mesh. Its ztunnel passes the request on as it is.',
  'plain-to-mesh': 'Only the server is in the mesh. Its ztunnel takes the request in as it enters the pod.',
  'mesh-to-dns': 'A pod of the mesh asks for a name. ztunnel answers in the name server’s place, or passes the question on.',
  probe: 'The node’s health checks must reach the app without passing through ztunnel.',
  self: 'A pod calls a service that it serves itself.',
  direct: 'Somebody calls the proxy’s own ports, which are not for him.',
  'mesh-to-impostor': 'The client’s ztunnel expects the server’s, but somebody else answers with another identity.',
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
      return asked!.target === 'dns' ? 'ztunnel’s log tells of the question' : `ztunnel’s access log tells of it: “${asked!.message}”`
    case 'served':
      return 'The server’s own socket saw this peer'
    case 'token':
      return asked!.row === 'clear'
        ? `The secret word is readable at ${asked!.dev}`
        : `The secret word cannot be read at ${asked!.dev}, in the whole stream`
    case 'untouched':
      return 'Nothing of the mesh is in this pod, before and after'
    case 'route':
      return 'A policy rule and a route send it there'
    default:
      return expected
  }
}

/** Of what the judge names as the likely cause, the rule: that is what a reader looks for on his node. */
export function likelyWords(likely: string): string {
  const [, rule, where] = / meets "(.*)" in (\S+ \S+) of /.exec(likely) ?? []
  if (rule?.startsWith('policy ')) return `a rule of ${where} that should not touch this packet`
  return rule ? `${rule}  (${where})` : likely
}

export const hex = (n: unknown): string => `0x${Number(n).toString(16)}`

/** `demo.httpbin-two-a` → its pod's name. */
export const podName = (netns: string): string => (netns === 'node' ? 'node' : netns.slice(netns.indexOf('.') + 1))
export const namespaceName = (netns: string): string => (netns === 'node' ? '' : netns.slice(0, netns.indexOf('.')))

/** A case in a few words: what is asked, of whom, from where. */
export function caseWords(c: Pick<ReportCase, 'id' | 'axes'>): string {
  const { traffic, placement, address, protocol, policy, connection, exchange } = c.axes
  const variant = c.id.split('/').slice(5).map(variantWords).join(', ')
  if (!traffic) return c.id.split('/').slice(1).map(valueWords).join(', ')
  const plain = [traffic, placement, address, protocol].filter((x) => x !== undefined).map(valueWords)
  const special = [
    variant || (policy && policy !== 'none' ? `policy ${policy}` : ''),
    exchange && exchange !== 'echo' ? valueWords(exchange) : '',
    connection === 'pooled' ? variantWords('pooled') : '',
  ]
  return [...new Set([...plain, ...special])].filter(Boolean).join(', ')
}

/** A time span, microseconds, short. */
export function spanWords(us: number): string {
  const ms = us / 1000
  if (Math.abs(ms) < 10) return `${ms.toFixed(2)} ms`
  return Math.abs(ms) < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`
}
