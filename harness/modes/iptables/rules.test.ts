import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseIptablesSave } from '../../evidence/parse/iptables-save.ts'
import type { Place } from '../place.ts'
import { nodeRules, proxyOf, proxyRules, ways } from './rules.ts'

// What Istio 1.20's own agent left on a node and in its ztunnel's namespace, with DNS capture.
const golden = (name: string) => readFileSync(join(import.meta.dirname, '../../run/fixtures/golden-iptables', name), 'utf8')
const place: Place = {
  ...{ node: 'a', netns: 'demo.sleep', ip: '10.244.1.10', identity: '', veth: 'veth-sleep', underlay: 'eth0', gateway: '10.244.1.1' },
  proxy: { netns: 'istio-system.ztunnel2', ip: '10.244.1.3', veth: 'veth-ztunnel2' },
}

/** All rules of a dump, chain after chain, without their counters. */
function rulesOf(name: string): string[] {
  const dump = parseIptablesSave(golden(name), name)
  return [...dump.values()].flatMap((table) => [...table.values()].flatMap((chain) => chain.rules.map((rule) => rule.text)))
}

test.each([
  ['node', nodeRules(place), 'node-iptables-save.txt'],
  ['proxy', proxyRules(place), 'ztunnel-iptables-save.txt'],
] as const)('each rule of the %s that a path names is one of upstream’s, to the letter', (_, rules, name) => {
  const theirs = rulesOf(name)
  expect(theirs.length).toBeGreaterThan(3)
  for (const [row, { rule }] of Object.entries(rules)) expect(theirs, row).toContain(rule)
})

test('rules of one chain come in the order of their rows', () => {
  const theirs = rulesOf('node-iptables-save.txt').filter((rule) => rule.startsWith('-A ztunnel-PREROUTING') && !rule.includes('DNAT'))
  const { P6, P8, P9, P10, P12, P13, P15 } = nodeRules(place)
  const places = [P6, P8, P9, P10, P12, P13, P15].map(({ rule }) => theirs.indexOf(rule))
  expect(places).toEqual(places.toSorted((a, b) => a - b))
})

test('policy rules and routes are upstream’s', () => {
  const lines = (name: string) => golden(name).replaceAll('\t', ' ').split('\n')
  const inTable = (name: string, table: string) => {
    const all = lines(name)
    const from = all.indexOf(`# ip route show table ${table}`)
    return all.slice(
      from + 1,
      all.findIndex((line, i) => i > from && line.startsWith('#')),
    )
  }
  const [node, proxy] = ['node-ip-rule-route.txt', 'ztunnel-ip-rule-route.txt'] as const
  const led = [
    [node, ways.outbound],
    [node, ways.toProxy(proxyOf(place))],
    [node, ways.inbound(place.ip)],
    [proxy, ways.captured],
    [proxy, ways.answered],
  ] as const
  expect(lines(node)).toContain(ways.main)
  for (const [name, [rule, route]] of led) {
    expect(lines(name)).toContain(rule)
    const [, way = '', table = ''] = /^(.*) table (\d+)$/.exec(route) ?? []
    expect(rule).toContain(`lookup ${table}`)
    expect(
      inTable(name, table).some((line) => line.startsWith(way)),
      route,
    ).toBe(true)
  }
})

test('a node without ztunnel has no path: it is said which', () => {
  const { proxy: _, ...alone } = place
  expect(() => nodeRules(alone)).toThrow('node a has no ztunnel')
})
