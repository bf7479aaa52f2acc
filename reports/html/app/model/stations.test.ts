import { expect, test } from 'vitest'
import type { ReportHop, ReportLeg } from '../../report.ts'
import { lineOf } from './stations.ts'

const hop = (vantage: string, title = vantage): ReportHop => ({ id: `leg/${title}`, title, vantage, verdict: 'pass', proofs: [] })
const leg = (title: string, row: 'clear' | 'sealed', ...vantages: string[]): ReportLeg => ({
  id: title,
  title,
  row,
  reused: false,
  facts: '',
  hops: vantages.map((v, i) => hop(v, `${title} ${i}`)),
})
const drawn = (legs: ReportLeg[]) => lineOf({ legs }).stations.map((s) => `${s.label}@${s.netns === 'node' ? s.node : s.netns}`)

test('legs join at the process that ends one and begins the next; devices stand in the order in which they are passed', () => {
  const legs = [
    leg('app → ztunnel', 'clear', 'one/demo.a', 'one/demo.a/lo', 'one/demo.a/lo'),
    leg(
      'ztunnel → ztunnel (HBONE)',
      'sealed',
      'one/demo.a',
      'one/demo.a/eth0',
      'one/node/veth12',
      'one/node/eth0',
      'two/node/eth0',
      'two/node/veth9',
      'two/demo.b/eth0',
      'two/demo.b',
      'one/demo.a',
    ),
    leg('ztunnel → app', 'clear', 'two/demo.b', 'two/demo.b/lo', 'two/demo.b'),
  ]
  const line = lineOf({ legs })
  expect(drawn(legs)).toEqual([
    'app@demo.a',
    'lo@demo.a',
    'ztunnel@demo.a',
    'eth0@demo.a',
    'veth@one',
    'eth0@one',
    'eth0@two',
    'veth@two',
    'eth0@demo.b',
    'ztunnel@demo.b',
    'lo@demo.b',
    'app@demo.b',
  ])
  expect(line.legs).toEqual([
    { from: 0, to: 2 },
    { from: 2, to: 9 },
    { from: 9, to: 11 },
  ])
  // What a process tells stands at that process: the client's side of the tunnel at the client's ztunnel.
  expect(line.hops.map((h) => h.station)).toEqual([0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 9, 10, 11])
  expect(line.hops.map((h) => h.number)).toEqual(Array.from({ length: 15 }, (_, i) => i + 1))
  expect(line.pods.map((b) => `${b.node}/${b.netns} ${b.from}-${b.to}`)).toEqual([
    'one/demo.a 0-3',
    'one/node 4-5',
    'two/node 6-7',
    'two/demo.b 8-11',
  ])
  expect(line.nodes.map((b) => `${b.node} ${b.from}-${b.to}`)).toEqual(['one 0-5', 'two 6-11'])
})

test('a path through an unmeshed client begins at its app, and one from a node at the node', () => {
  expect(drawn([leg('client → ztunnel', 'clear', 'one/plain.c/eth0', 'one/node/veth1', 'one/demo.b/eth0', 'one/demo.b')])).toEqual([
    'app@plain.c',
    'eth0@plain.c',
    'veth@one',
    'eth0@demo.b',
    'ztunnel@demo.b',
  ])
  expect(
    drawn([leg('node → app (probe)', 'clear', 'one/node', 'one/node/veth1', 'one/demo.b/eth0', 'one/demo.b', 'one/demo.b/eth0')]),
  ).toEqual(['node@one', 'veth@one', 'eth0@demo.b', 'app@demo.b'])
})

test('a pod that calls itself comes back to where it began', () => {
  const legs = [
    leg('app → ztunnel', 'clear', 'one/demo.a', 'one/demo.a/lo'),
    leg('ztunnel → itself (HBONE)', 'sealed', 'one/demo.a/lo'),
    leg('ztunnel → app', 'clear', 'one/demo.a/lo'),
  ]
  expect(drawn(legs)).toEqual(['app@demo.a', 'lo@demo.a', 'ztunnel@demo.a', 'lo@demo.a', 'ztunnel@demo.a', 'lo@demo.a', 'app@demo.a'])
})

test('rules of a namespace on the way are a station of their own', () => {
  expect(drawn([leg('app → ztunnel', 'clear', 'one/demo.a/eth0', 'one/node', 'one/istio.z/eth0', 'one/istio.z')])).toEqual([
    'app@demo.a',
    'eth0@demo.a',
    'rules@one',
    'eth0@istio.z',
    'ztunnel@istio.z',
  ])
})

test('a case without legs has no stations', () => {
  expect(lineOf({ legs: [] })).toEqual({ stations: [], legs: [], hops: [], pods: [], nodes: [] })
})
