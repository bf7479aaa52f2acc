import { describe, expect, test } from 'vitest'
import type { Observation } from '../evidence/observation.ts'
import { untouched } from '../modes/path.ts'
import { Evidence } from './evidence.ts'
import type { Scene } from './proof.ts'
import { prove } from './prove.ts'

const pod = { node: 'one', netns: 'demo.sleep' }
const window = { from: 0, to: 1 }

/** One snapshot of a pod that no mesh has touched, and what else is in it. */
function dump(snapshot: string, ...more: object[]): object[] {
  const at = { ...pod, snapshot, family: 'ip' }
  const lines = [
    ['policy-rule', '0: from all lookup local'],
    ['policy-rule', '32766: from all lookup main'],
    ['policy-rule', '32767: from all lookup default'],
    ['route', 'default via 10.244.1.1 dev eth0'],
    ['route', 'local 10.244.1.5 dev eth0 table local proto kernel scope host src 10.244.1.5'],
    ['link', '1: lo - mtu 65536'],
    ['link', '2: eth0 veth mtu 1500 peer 7 10.244.1.5'],
    ['settings', 'net.ipv4.conf.eth0.rp_filter = 1'],
  ]
  return [...lines.map(([kind, line]) => ({ kind, ...at, line })), ...more.map((o) => ({ ...at, ...o }))]
}
const judged = (seen: readonly object[]) => {
  const evidence = new Evidence(seen.map((o, i) => ({ ref: `dump#${i}`, ...o })) as unknown as Observation[])
  const scene: Scene = { evidence, variables: {}, window, opening: window, token: '' }
  return prove(untouched(pod), scene)
}
const twice = (...more: object[]) => [...dump('before'), ...dump('after', ...more)]

test('a pod that has what every pod has, and has it still, is untouched: by each line of both snapshots', () => {
  expect(judged(twice())).toMatchObject({ status: 'proven', label: 'computed' })
  expect(judged(twice()).refs).toHaveLength(16)
  expect(judged(dump('before')).status).toBe('proven')
})

test('a route of IPv6 that has come meanwhile is none of a mesh, but for one in a table of its own', () => {
  const route = (line: string) => ({ kind: 'route', family: 'ip6', line })
  expect(judged(twice(route('local fe80::1 dev eth0 table local proto kernel metric 0'))).status).toBe('proven')
  expect(judged(twice(route('local default dev lo table 100'))).status).toBe('contradicted')
})

describe.each(['before', 'after'])('in the snapshot %s', (snapshot) => {
  test.each([
    [
      'a rule',
      {
        kind: 'rule',
        table: 'nat',
        chain: 'OUTPUT',
        position: 0,
        packets: 0,
        bytes: 0,
        rule: '-A OUTPUT -p tcp -j REDIRECT --to-ports 15001',
      },
    ],
    ['a policy rule', { kind: 'policy-rule', line: '20000: from all fwmark 0x400/0xfff lookup 100' }],
    ['a route in another table', { kind: 'route', line: 'local default dev lo table 100 scope host' }],
    ['a device', { kind: 'link', line: '3: pistioin vxlan mtu 1450 192.168.126.2' }],
  ])('%s too many is told', (_, extra) => {
    const other = snapshot === 'before' ? 'after' : 'before'
    const verdict = judged([...dump(snapshot, extra), ...dump(other)])
    expect(verdict).toMatchObject({ status: 'contradicted', seen: expect.stringContaining(`(snapshot ${snapshot})`) })
  })
})

test.each([
  ['a setting', 'net.ipv4.conf.eth0.rp_filter = 1', 'net.ipv4.conf.eth0.rp_filter = 0'],
  ['an address', 'peer 7 10.244.1.5', 'peer 7 10.244.1.6'],
  ['a route of the main table', 'via 10.244.1.1', 'via 10.244.1.9'],
])('%s that is another one afterwards is told', (_, was, is) => {
  const after = dump('after').map((o) => JSON.parse(JSON.stringify(o).replace(was, is)) as object)
  expect(judged([...dump('before'), ...after])).toMatchObject({ status: 'contradicted', seen: expect.stringContaining(is) })
})

test('what was not dumped proves nothing', () => {
  expect(judged([]).status).toBe('missing')
  for (const kind of ['policy-rule', 'link', 'settings'])
    expect(judged(dump('before').filter((o) => (o as { kind: string }).kind !== kind)).status, kind).toBe('missing')
})
