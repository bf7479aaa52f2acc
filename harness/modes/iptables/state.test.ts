import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Observation } from '../../evidence/observation.ts'
import { parseIptablesSave, ruleObservations } from '../../evidence/parse/iptables-save.ts'
import { parsePolicyRules, parseRoutes, parseSets } from '../../evidence/parse/state.ts'
import type { TopologyRecord } from '../../evidence/topology-record.ts'
import { audit } from './state.ts'

// From what upstream's own agent left (golden state 09: DNS capture, ztunnel 10.244.1.3, sleep and late enrolled), to what the audit says of it.
const golden = (name: string) => readFileSync(join(import.meta.dirname, '../../run/fixtures/golden-iptables', name), 'utf8')

const topology = {
  nodes: [{ name: 'one', address: '172.18.0.2' }],
  pods: [
    { name: 'sleep', namespace: 'demo', node: 'one', ip: '10.244.1.10', enrolled: true },
    { name: 'late', namespace: 'demo', node: 'one', ip: '10.244.1.12', enrolled: true },
    { name: 'plain', namespace: 'plain', node: 'one', ip: '10.244.1.20', enrolled: false },
  ],
  proxies: [{ name: 'ztunnel2', namespace: 'istio-system', node: 'one', uid: 'z' }],
} as unknown as TopologyRecord

/** Ours, for packets to a ztunnel whose link has gone. */
const backstop = 'unreachable default table 102 metric 4096'

/** A golden's sections, one a table, as `ip rule` and `ip route show table all` would print them. */
function routing(text: string): { rules: string; routes: string } {
  const sections = text.split(/^# /m).map((section) => [section.split('\n')[0]!, section.slice(section.indexOf('\n') + 1)] as const)
  const routes = sections.flatMap(([title, lines]) => {
    const table = /^ip route show table (\S+)/.exec(title)?.[1]
    if (!table) return []
    return lines
      .split('\n')
      .filter(Boolean)
      .map((line) => (table === 'main' ? line : line.replace(/dev \S+/, (dev) => `${dev} table ${table}`)))
  })
  return { rules: sections.find(([title]) => title === 'ip rule')![1], routes: `${routes.join('\n')}\n` }
}

interface Dumps {
  /** By netns: `iptables-save`, `ip rule`, `ip route show table all`. */
  readonly [netns: string]: { readonly save: string; readonly rules: string; readonly routes: string }
}
const node = routing(golden('node-ip-rule-route.txt'))
const untouched = {
  save: '',
  rules: '0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n',
  routes: '',
}
const dumps: Dumps = {
  node: { save: golden('node-iptables-save.txt'), rules: node.rules, routes: `${node.routes}${backstop}\n` },
  'istio-system.ztunnel2': { save: golden('ztunnel-iptables-save.txt'), ...routing(golden('ztunnel-ip-rule-route.txt')) },
  'demo.sleep': untouched,
  'plain.plain': untouched,
  'demo.late': untouched,
}
const set = golden('node-ipset.txt').split('# ipset list\n')[1]!
const listening = [
  ['tcp', 15001],
  ['tcp', 15006],
  ['tcp', 15008],
  ['udp', 15053],
].map(([protocol, port]) => ({ protocol, local: `0.0.0.0:${port}` }))

function observed(all: Dumps, sets = set, listeners = listening): Observation[] {
  const world = Object.entries(all).flatMap(([netns, { save, rules, routes }]) => {
    const taken = { node: 'one', netns, snapshot: 'before' }
    return [
      ...ruleObservations(parseIptablesSave(save, 'f'), 'f', { ...taken, family: 'ip' }),
      ...parsePolicyRules(rules, 'f', taken, 'ip'),
      ...parseRoutes(routes, 'f', taken, 'ip'),
    ]
  })
  const proxy = { node: 'one', netns: 'istio-system.ztunnel2', snapshot: 'before', kind: 'listener', mark: 0, ref: 's' } as const
  return [
    ...world,
    ...parseSets(sets, 'f', { node: 'one', netns: 'node', snapshot: 'before' }),
    ...listeners.map((l) => ({ ...proxy, ...l }) as Observation),
  ]
}
const drift = (observations: readonly Observation[]) =>
  audit(observations, topology, 'before', '1.20').map(({ where, what }) => `${where}: ${what}`)
const changed = (netns: string, change: Partial<Dumps[string]>): Dumps => ({ ...dumps, [netns]: { ...dumps[netns]!, ...change } })

test("finds nothing in what upstream's agent leaves", () => expect(drift(observed(dumps))).toEqual([]))

describe.for(['node', 'istio-system.ztunnel2'])('in %s', (netns) => {
  const { save, rules, routes } = dumps[netns]!
  const without = (text: string, line: string) => text.replace(`${line}\n`, '')

  test('tells each rule that is gone, turned or too many, in its chain', () => {
    for (const line of save.match(/^(?:\[\d+:\d+\] )?-A .*$/gm) ?? []) {
      expect(drift(observed(changed(netns, { save: without(save, line) }))), line).not.toEqual([])
      expect(drift(observed(changed(netns, { save: save.replace(line, `${line}\n${line}`) }))), line).not.toEqual([])
      const [, chain] = /-A (\S+)/.exec(line)!
      const turned = save.replace(line, `-A ${chain} -j DROP`)
      expect(drift(observed(changed(netns, { save: turned }))).join('\n'), line).toContain(chain)
    }
  })

  test('tells each policy rule and each route of its tables that is gone', () => {
    const asked = rules.split('\n').filter((line) => /^(10\d|2000\d):/.test(line))
    expect(asked.length).toBeGreaterThan(1)
    for (const line of asked) expect(drift(observed(changed(netns, { rules: without(rules, line) }))), line).toHaveLength(1)
    const ours = routes.split('\n').filter((line) => (netns === 'node' ? / table 10[0-2]/ : / table 100/).test(line))
    expect(ours.length).toBeGreaterThan(0)
    for (const line of ours) expect(drift(observed(changed(netns, { routes: without(routes, line) }))), line).toHaveLength(1)
  })
})

test('tells a jump that others stand before', () => {
  const save = dumps.node!.save.replace(/^.*-A PREROUTING -j ztunnel-PREROUTING$/m, (jump) => `-A PREROUTING -j KUBE-SERVICES\n${jump}`)
  expect(drift(observed(changed('node', { save })))).toEqual([
    'one/node: mangle PREROUTING: "-A PREROUTING -j ztunnel-PREROUTING" is not its first rule',
  ])
})

test('tells an address that the set lacks, and one of nobody', () => {
  expect(drift(observed(dumps, set.replace('10.244.1.10', '10.244.1.99')))).toEqual([
    'one/node: no address in ztunnel-pods-ips "10.244.1.10"',
    'one/node: one address in ztunnel-pods-ips too many: "10.244.1.99"',
  ])
})

test('tells a listener of ztunnel that is not there', () =>
  expect(drift(observed(dumps, set, listening.slice(1)))).toEqual(['one/istio-system.ztunnel2: nobody listens on tcp 0.0.0.0:15001']))

test('tells what anybody has put into a pod', () => {
  const save = '*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp -j REDIRECT --to-ports 15001\nCOMMIT\n'
  const rules = `${untouched.rules}100:\tfrom all fwmark 0x1 lookup 100\n`
  const routes = 'local default dev lo table 100 scope host\n'
  expect(drift(observed(changed('plain.plain', { save, rules, routes })))).toEqual([
    'one/plain.plain: has the rule "-A OUTPUT -p tcp -j REDIRECT --to-ports 15001"',
    'one/plain.plain: one policy rule too many: "100: from all fwmark 0x1 lookup 100"',
    'one/plain.plain: has the route "local default dev lo table 100 scope host"',
  ])
})

test('tells a node without ztunnel, and one whose ztunnel it cannot reach', () => {
  expect(audit([], { ...topology, pods: [], proxies: [] }, 'before', '1.20')).toEqual([{ where: 'one/node', what: 'it has 0 ztunnels' }])
  const routes = dumps.node!.routes.replace(/^10\.244\.1\.3 dev \S+ scope host *\n/m, '')
  expect(drift(observed(changed('node', { routes })))).toEqual([
    "one/node: no address of istio-system.ztunnel2, or no route of the node's to it",
  ])
})
