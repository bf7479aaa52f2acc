import { expect, test } from 'vitest'
import type { PacketEvidence, ReportHop, ReportLeg } from '../../report.ts'
import { journeysOf } from './journeys.ts'
import { lineOf } from './stations.ts'

const hop = (id: string, vantage: string, verdict: ReportHop['verdict'], refs: number[], kind = 'packet'): ReportHop => ({
  id,
  title: id,
  vantage,
  verdict,
  proofs: [{ kind, label: 'observed', status: 'proven', expected: '', refs }],
})
const path = (end: ReportHop['verdict'] = 'pass'): ReportLeg[] => [
  {
    id: 'leg',
    title: 'app → ztunnel',
    row: 'clear',
    reused: false,
    facts: '',
    hops: [
      hop('leaves', 'one/a.b/eth0', 'pass', [0, 3]),
      hop('enters', 'two/c.d/eth0', 'pass', [1], 'token'),
      hop('reaches', 'two/c.d', end, [], 'log'),
    ],
  },
]
const packet = (t: number, at: string, dir: 'in' | 'out', more: Partial<PacketEvidence> = {}): PacketEvidence => ({
  kind: 'packet',
  ref: `x#p${t}`,
  at,
  t,
  dir,
  proto: 'tcp',
  from: '10.0.0.1:4000',
  to: '10.0.0.2:80',
  flags: 'S',
  seq: 7,
  ack: 0,
  len: 0,
  info: '',
  ...more,
})
const answer = { from: '10.0.0.2:80', to: '10.0.0.1:4000', flags: 'SA', seq: 90, ack: 8 }
const journeys = (packets: PacketEvidence[], legs = path(), leg = 0) =>
  journeysOf({ legs, packets: packets.map((_, i) => [i, leg] as const) }, lineOf({ legs }), (i) => packets[i]!)

test('a packet is one journey through all places where it was seen, in its direction, with the hops that rest on it', () => {
  const found = journeys([
    packet(1, 'one/a.b/eth0', 'out'),
    packet(2, 'two/c.d/eth0', 'in'),
    packet(3, 'two/c.d/eth0', 'out', answer),
    packet(4, 'one/a.b/eth0', 'in', answer),
  ])
  expect(found.map(({ forward, reach, begun, hops, named, label }) => ({ forward, reach, begun, hops, named, label }))).toEqual([
    { forward: true, reach: 'through', begun: true, hops: [1, 2], named: [1], label: 'SYN' },
    { forward: false, reach: 'through', begun: true, hops: [1], named: [1], label: 'SYN, ACK' },
  ])
  expect(found.map((j) => j.sights.map((s) => s.station))).toEqual([
    [1, 2],
    [2, 1],
  ])
})

test('the same packet again at a place, or much later, was sent anew', () => {
  expect(journeys([packet(1, 'one/a.b/eth0', 'out'), packet(2, 'one/a.b/eth0', 'out')])).toHaveLength(2)
  expect(journeys([packet(1, 'one/a.b/eth0', 'out'), packet(60_000, 'two/c.d/eth0', 'in')])).toHaveLength(2)
})

test('one that was not seen at the end of its leg is lost; where the end is broken it is known up to the last device only', () => {
  expect(journeys([packet(1, 'one/a.b/eth0', 'out')])[0]!.reach).toBe('lost')
  const both = [packet(1, 'one/a.b/eth0', 'out'), packet(2, 'two/c.d/eth0', 'in')]
  expect(journeys(both, path('fail'))[0]!.reach).toBe('device')
  expect(journeys([packet(1, 'two/c.d/eth0', 'out'), packet(2, 'one/a.b/eth0', 'in')], path('fail'))[0]!.begun).toBe(true)
})

test('a packet of no leg is shown all the same', () => {
  expect(journeys([packet(1, 'one/node/veth7', 'in')], path(), -1)[0]).toMatchObject({ leg: -1, reach: 'lost', sights: [{ station: -1 }] })
})
