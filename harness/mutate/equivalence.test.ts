import { expect, test } from 'vitest'
import type { Observation } from '../evidence/observation.ts'
import type { Attempt } from '../traffic/attempt.ts'
import { differences, type Ran } from './equivalence.ts'

interface Chosen {
  /** Where the run's clock stood, and what the kernel and the cluster chose. */
  readonly start: number
  readonly port: number
  readonly subnet: string
  readonly uid: string
}
const first: Chosen = { start: 1_000_000, port: 40_001, subnet: '10.244.1', uid: 'aaaaaaaa-0000-4000-8000-000000000001' }
const second: Chosen = { start: 9_000_000, port: 51_234, subnet: '10.9.7', uid: 'bbbbbbbb-0000-4000-8000-000000000002' }

/** A small run: one request from a client to a server on one node, with what else goes on meanwhile. */
function ran({ start, port, subnet, uid }: Chosen, change: (o: object[]) => object[] = (o) => o, ok = true): Ran {
  const [client, server] = [`${subnet}.5`, `${subnet}.6`]
  const there = { from: `${client}:${port}`, to: `${server}:8080` }
  const back = { from: there.to, to: there.from }
  const at = { node: 'one', netns: 'demo.server', dev: 'eth0', direction: 'in', protocol: 'tcp' }
  const t = start + 10
  const packet = (flow: object, flags: string, more: object = {}) => ({
    kind: 'packet',
    ...at,
    t,
    ...flow,
    flags,
    payloadLength: 0,
    ...more,
  })
  const veth = (suffix: string) => `veth${suffix}${port}`
  const nodeRoute = (line: string) => ({ kind: 'route', node: 'one', netns: 'node', snapshot: 'before', family: 'ip', line })
  const seen = [
    packet(there, 'S'),
    packet(back, 'SA', { direction: 'out' }),
    packet(there, 'A'),
    packet(there, 'PA', { payloadLength: 10 }),
    packet(there, 'FA'),
    {
      kind: 'trace',
      ...at,
      t,
      ...there,
      table: 'nat',
      chain: 'C',
      type: 'rule',
      rule: '-A C -j X',
      verdict: 'accept',
      mark: 0,
      flags: 'S',
      traceId: `${port}`,
    },
    { kind: 'conntrack', ...at, t, event: 'new', orig: there, reply: back, mark: 273, zone: 0, status: port },
    { kind: 'socket', ...at, t, local: there.to, peer: there.from, mark: 1337, uid: 0 },
    {
      kind: 'route',
      node: 'one',
      netns: 'demo.server',
      snapshot: 'before',
      family: 'ip',
      line: `default via ${subnet}.1 dev eth0`.replace(`${subnet}.1`, 'gateway'),
    },
    { kind: 'set-member', node: 'one', netns: 'node', snapshot: 'before', family: 'ip', set: 's', line: `${server} comment "${uid}"` },
    { kind: 'listener', node: 'one', netns: 'demo.server', snapshot: 'before', protocol: 'tcp', local: '*:15001', mark: 1337 },
    { ...packet(there, 'S'), netns: 'node', dev: veth('a'), direction: 'out' },
    nodeRoute(`${server} dev ${veth('a')} scope host`),
    // A proxy's pod, which is another one in each run.
    nodeRoute(`${subnet}.${port % 100} dev ${veth('b')} scope host`),
    { ...nodeRoute(`local ${subnet}.${port % 100} dev eth0`), netns: `istio-system.ztunnel-${port}` },
    // The harness looks whether its streams are alive.
    packet({ from: `127.0.0.1:${port}`, to: '127.0.0.1:9' }, '', { protocol: 'udp', payloadLength: port % 7 }),
    // The kubelet asks the server; the counters of a rule; a line of a log.
    packet({ from: `169.254.7.127:${port + 1}`, to: `${server}:8080` }, 'S'),
    { kind: 'rule', node: 'one', netns: 'demo.server', snapshot: 'before', rule: '-A C -j X', packets: port },
    { kind: 'ztunnel-log', node: 'one', netns: 'x', t, level: 'info', target: 'access', message: `${port}`, fields: {} },
  ]
  const pods = [
    { name: 'client', namespace: 'demo', node: 'one', uid: 'c', ip: client, app: 'sleep', serviceAccount: 'x', enrolled: true },
    { name: 'server', namespace: 'demo', node: 'one', uid, ip: server, app: 'httpbin', serviceAccount: 'x', enrolled: true },
  ] as const
  const attempt = {
    case: 'inpod/x',
    role: 'main',
    window: { from: start, to: start + 100 },
    client: { node: 'one', netns: 'demo.client' },
    server: { node: 'one', netns: 'demo.server' },
    request: { protocol: 'http', host: server, port: 8080 },
    result: { ok },
  } as unknown as Attempt
  return {
    topology: {
      name: 't',
      nodes: [{ name: 'one', address: '172.18.0.2' }],
      pods: [...pods],
      services: [],
      proxies: [{ name: `ztunnel-${port}`, namespace: 'istio-system', node: 'one', uid: 'z' }],
    },
    attempts: [attempt],
    observations: change(seen) as unknown as Observation[],
  }
}

const nth =
  (kind: string, alter: (o: object) => object | undefined, n = 0) =>
  (all: object[]) => {
    const mine = all.filter((o) => (o as { kind: string }).kind === kind)[n]
    return all.flatMap((o) => (o === mine ? (alter(o) ?? []) : o))
  }

test('two runs that differ in times, ids, ports, addresses and counters only cannot be told apart', () => {
  expect(differences(ran(first), ran(second))).toEqual([])
})

test.for<[what: string, change: (o: object[]) => object[]]>([
  ['how often a packet was seen', (o) => [...o, o[3]!, o[0]!]],
  ['a bare acknowledgement', nth('packet', () => undefined, 2)],
  ['a marker of the harness', nth('packet', () => undefined, 6)],
  ["what the kubelet's probe did", nth('packet', () => undefined, 7)],
  ['a line of a log', nth('ztunnel-log', (o) => ({ ...o, message: 'other' }))],
  ["a rule's counter", nth('rule', (o) => ({ ...o, packets: 0 }))],
  ['what was seen outside the requests', (o) => [...o, { ...o[0]!, t: 1, dev: 'lo' }]],
])('%s is no difference', ([, change]) => {
  expect(differences(ran(first), ran(second, change))).toEqual([])
})

test.for<[what: string, change: (o: object[]) => object[], lines: number]>([
  ['a packet that is not there', nth('packet', () => undefined, 1), 1],
  ['a packet at another device', nth('packet', (o) => ({ ...o, dev: 'lo' })), 2],
  ['a reset in the place of an end', nth('packet', (o) => ({ ...o, flags: 'RA' }), 4), 2],
  ['another destination port', nth('packet', (o) => ({ ...o, to: '10.9.7.6:80' })), 2],
  ['the mark of a packet', nth('trace', (o) => ({ ...o, mark: 1 })), 2],
  ['the rule that it met', nth('trace', (o) => ({ ...o, rule: '-A C -j Y' })), 2],
  ['the mark of a connection', nth('conntrack', (o) => ({ ...o, mark: 0 })), 2],
  ['the mark of a socket', nth('socket', (o) => ({ ...o, mark: 0 })), 2],
  ['a route', nth('route', (o) => ({ ...o, line: 'unreachable default' })), 2],
  ["a node's route to a pod", nth('route', () => undefined, 1), 3],
  ['a member of a set', nth('set-member', () => undefined), 1],
  ['a listening socket', nth('listener', () => undefined), 1],
])('%s is a difference, told from both sides', ([, change, lines]) => {
  const found = differences(ran(first), ran(second, change))
  expect(found, found.join('\n')).toHaveLength(lines)
  expect(differences(ran(second, change), ran(first)).map((l) => l.slice(2))).toEqual(expect.arrayContaining(found.map((l) => l.slice(2))))
})

test('a reset in the place of an end is none where the request was refused', () => {
  const reset = nth('packet', (o) => ({ ...o, flags: 'RA' }), 4)
  expect(differences(ran(first, undefined, false), ran(second, reset, false))).toEqual([])
})

test("what a node's kubelet asks beside the node's own request is no difference; what becomes of the request itself is", () => {
  const at = (subnet: string) => ({ node: '10.244.1.1', pod: `${subnet}.6:8080` })
  /** @param probe whether the kubelet's probe comes meanwhile @param dial the port from which the proxy goes on, as the node */
  const asked = (chosen: Chosen, probe: boolean, dial?: number): Ran => {
    const { node, pod } = at(chosen.subnet)
    const t = chosen.start + 10
    const packet = (netns: string, dev: string, from: string, to: string) => ({
      kind: 'packet',
      node: 'one',
      netns,
      dev,
      direction: 'in',
      protocol: 'tcp',
      t,
      from,
      to,
      flags: 'PA',
      payloadLength: 9,
    })
    const seen = [
      packet('node', 'veth', `${node}:${chosen.port}`, pod),
      packet('demo.server', 'eth0', `${node}:${chosen.port}`, pod),
      ...(dial === undefined ? [] : [packet('demo.server', 'lo', `${node}:${dial}`, pod)]),
      // Another address, and the same port.
      ...(probe ? [packet('node', 'veth', `${node}:50000`, pod), packet('demo.server', 'eth0', '169.254.7.127:50000', pod)] : []),
    ]
    const base = ran(chosen, () => seen)
    const [attempt] = base.attempts
    return {
      ...base,
      attempts: [{ ...attempt!, client: { node: 'one', netns: 'node' }, result: { ok: true, localPort: chosen.port } as never }],
    }
  }
  expect(differences(asked(first, true), asked(second, false))).toEqual([])
  expect(differences(asked(first, true, 60_000), asked(second, true, 60_001))).toEqual([])
  expect(differences(asked(first, true, 60_000), asked(second, true))).toHaveLength(1)
})
