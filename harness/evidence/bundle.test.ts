import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { configDump, EvidenceError, interfaces, marks, observations, openBundle, snapshots } from './bundle.ts'
import { PcapngWriter } from './pcapng-write.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'everyhop-bundle-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const json = (...values: object[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('')
const manifest = {
  schema: 1,
  run: 'r1',
  provider: 'lab',
  mode: 'inpod',
  release: 'today',
  startedAt: '2026-11-21T00:00:00Z',
  endedAt: '2026-11-21T00:01:00Z',
  environment: {},
}
const marker = 'm-0123456789'
/** UDP 127.0.0.1:49152 → 127.0.0.1:9 with the marker; TCP 10.0.0.1:1000 → 10.0.0.2:80, SYN. */
const lo = `${'00'.repeat(12)}0800`
const markerIp = `4500002800014000401100007f0000017f000001`
const markerUdp = `c000000900140000${Buffer.from(marker).toString('hex')}`
const synIp = '450000280001400040060000' + '0a000001' + '0a000002'
const synTcp = '03e800500000006400000000' + '5002020000000000'

function capture() {
  const writer = new PcapngWriter()
  const blocks = [writer.header(), writer.interface('n1/demo.sleep/lo').block, writer.interface('n1/demo.sleep/eth0').block]
  const packet = (interfaceId: number, t: number, hex: string) => {
    const data = Buffer.from(hex, 'hex')
    blocks.push(writer.packet({ interfaceId, tNs: BigInt(t) * 1000n, data, originalLength: data.length, direction: 'out' }))
  }
  packet(0, 1000, lo + markerIp + markerUdp)
  packet(1, 2000, `0200000000010200000000020800${synIp}${synTcp}`)
  return Buffer.concat(blocks)
}

const trace = {
  t: 2001,
  netns: 'demo.sleep',
  traceId: '1',
  family: 'ip',
  table: 'nat',
  chain: 'OUTPUT',
  type: 'rule',
  handle: 4,
  verdict: 'jump X',
  mark: 0,
  oif: 'eth0',
  nh: synIp,
  th: synTcp,
}
const files: Record<string, string | Buffer> = {
  'bundle.json': JSON.stringify(manifest),
  'topology.json': JSON.stringify({ pods: [] }),
  'cases/b.json': JSON.stringify({ id: 'b' }),
  'cases/a.json': JSON.stringify({ id: 'a' }),
  'traffic.jsonl': json({ case: 'a' }, { case: 'b' }),
  'evidence/n1/packets.pcapng': capture(),
  'evidence/n1/traces.jsonl': json(
    { ...trace, table: 'everyhop', chain: 'output', handle: 2, t: 1001, nh: markerIp, th: markerUdp, traceId: '0' },
    trace,
  ),
  'evidence/n1/conntrack.jsonl': json({
    t: 2002,
    netns: 'demo.sleep',
    event: 'new',
    protocol: 'tcp',
    orig: { from: '10.0.0.1:1000', to: '10.0.0.2:80' },
    reply: { from: '127.0.0.1:15001', to: '10.0.0.1:1000' },
    mark: 0,
    zone: 0,
    status: 8,
  }),
  'evidence/n1/sockets.jsonl': json({ t: 3000, netns: 'demo.sleep', local: '10.0.0.1:1000', peer: '10.0.0.2:80', mark: 0, uid: 1000 }),
  'evidence/n1/logs.jsonl': json({
    t: 2500,
    pod: 'httpbin',
    namespace: 'demo',
    container: 'c',
    stream: 'stdout',
    line: JSON.stringify({ event: 'served', protocol: 'http', peer: '10.0.0.1:1000', local: '10.0.0.2:80', body: 'tok' }),
  }),
  'evidence/n1/stats.jsonl': json({ t: 4000, netns: 'demo.sleep', stream: 'packets', lost: 0 }),
  'evidence/n1/markers.jsonl': json({ t: 999, id: marker }),
  'evidence/n1/interfaces.jsonl': json({
    t: 1,
    netns: 'demo.sleep',
    index: 2,
    dev: 'eth0',
    mac: '02:00:00:00:00:02',
    addresses: ['10.0.0.1'],
    peerIndex: 7,
  }),
  'snapshots/before/meta.json': JSON.stringify({ t: 500 }),
  'snapshots/before/n1/config-dump.json': JSON.stringify({ workloads: [] }),
  'snapshots/before/n1/demo.sleep/iptables-save.txt': '*nat\n:OUTPUT ACCEPT [0:0]\n:X - [0:0]\n[1:60] -A OUTPUT -j X\nCOMMIT\n',
  'snapshots/before/n1/demo.sleep/handles.json': JSON.stringify({ ip: { nat: { OUTPUT: [4] } } }),
  'snapshots/before/n1/demo.sleep/ip-rule.txt': '0:\tfrom all lookup local\n',
  'snapshots/before/n1/demo.sleep/ip6-route.txt': 'local ::1 dev lo\n',
  'snapshots/before/n1/demo.sleep/ss.txt': 'tcp LISTEN 0 128 *:15001 *:* ino:1 sk:1 fwmark:0x539\n',
  'snapshots/after/meta.json': JSON.stringify({ t: 5000 }),
  'snapshots/after/n1/node/ipset.txt': 'Name: s\nHeader: family inet\nMembers:\n10.0.0.1\n',
}

function write(change: Record<string, string | Buffer | undefined> = {}) {
  for (const [name, content] of Object.entries({ ...files, ...change })) {
    if (content === undefined) continue
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), content)
  }
  return folder
}

describe('a whole bundle', () => {
  test('what the harness wrote', () => {
    const bundle = openBundle(write())
    expect(bundle).toMatchObject({ manifest, topology: { pods: [] }, nodes: ['n1'], notes: [] })
    expect(bundle.cases).toEqual([
      { id: 'a', value: { id: 'a' } },
      { id: 'b', value: { id: 'b' } },
    ])
    expect(bundle.traffic.map(({ value, ref }) => [value, ref])).toEqual([
      [{ case: 'a' }, 'traffic.jsonl#L1'],
      [{ case: 'b' }, 'traffic.jsonl#L2'],
    ])
  })

  test('all observations, each with a ref to what it came from, parsed once', () => {
    const bundle = openBundle(write())
    const all = observations(bundle)
    expect(all.map(({ kind, ref }) => [kind, ref])).toEqual([
      ['packet', 'evidence/n1/packets.pcapng#p0'],
      ['packet', 'evidence/n1/packets.pcapng#p1'],
      ['trace', 'evidence/n1/traces.jsonl#L1'],
      ['trace', 'evidence/n1/traces.jsonl#L2'],
      ['conntrack', 'evidence/n1/conntrack.jsonl#L1'],
      ['socket', 'evidence/n1/sockets.jsonl#L1'],
      ['served', 'evidence/n1/logs.jsonl#L1'],
      ['loss', 'evidence/n1/stats.jsonl#L1'],
      ['marker', 'evidence/n1/packets.pcapng#p0'],
      ['marker', 'evidence/n1/traces.jsonl#L1'],
      ['rule', 'snapshots/before/n1/demo.sleep/iptables-save.txt#L4'],
      ['policy-rule', 'snapshots/before/n1/demo.sleep/ip-rule.txt#L1'],
      ['route', 'snapshots/before/n1/demo.sleep/ip6-route.txt#L1'],
      ['listener', 'snapshots/before/n1/demo.sleep/ss.txt#L1'],
      ['set-member', 'snapshots/after/n1/node/ipset.txt#L4'],
    ])
    expect(all[3]).toMatchObject({ rule: '-A OUTPUT -j X', from: '10.0.0.1:1000' })
    expect(all[2]).not.toHaveProperty('rule')
    expect(observations(bundle)).toBe(all)
    expect(bundle.notes).toEqual([])
  })

  test('snapshots in the order of time, interfaces, markers that were sent, config dumps', () => {
    const bundle = openBundle(write())
    expect(snapshots(bundle).labels).toEqual([
      { label: 'before', t: 500 },
      { label: 'after', t: 5000 },
    ])
    expect(snapshots(bundle).rules).toMatchObject([{ snapshot: 'before', node: 'n1', netns: 'demo.sleep', family: 'ip' }])
    expect(interfaces(bundle, 'n1')).toMatchObject([{ dev: 'eth0', peerIndex: 7 }])
    expect(marks(bundle, 'n1')).toEqual([{ t: 999, id: marker }])
    expect(configDump(bundle, 'before', 'n1')).toEqual({ workloads: [] })
    expect(configDump(bundle, 'after', 'n1')).toBeUndefined()
  })

  test("the harness's own schemas", () => {
    const schemas = {
      topology: z.object({ pods: z.array(z.string()) }),
      case: z.object({ id: z.string() }),
      attempt: z.object({ case: z.string() }),
    }
    expect(openBundle(write(), schemas).cases[0]!.value.id).toBe('a')
    write({ 'traffic.jsonl': json({ case: 'a' }, { case: 1 }) })
    expect(() => openBundle(folder, schemas)).toThrow(/^traffic.jsonl, line 2: case: /)
  })
})

describe('a bundle of a killed run', () => {
  test('opens, and tells what was cut', () => {
    const packets = capture()
    const bundle = openBundle(
      write({
        'bundle.json': JSON.stringify({ ...manifest, endedAt: undefined }),
        'cases/b.json': '{"id":"b","pa',
        'traffic.jsonl': `${json({ case: 'a' })}{"case"`,
        'evidence/n1/packets.pcapng': packets.subarray(0, packets.length - 3),
        'evidence/n1/traces.jsonl': `${json(trace)}{"t":20`,
        'snapshots/after/meta.json': '',
        'snapshots/after/n1/node/ipset.txt': 'Name: s\nHeader: family inet\nMembers:\n10.0.0.1\n10.0.',
        'snapshots/before/n1/demo.sleep/iptables-save.txt': '*nat\n:OUTPUT ACCEPT [0:0]\n:X - [0:0]\n[1:60] -A OUTPUT -j X\n[',
      }),
    )
    expect(bundle.cases.map(({ id }) => id)).toEqual(['a'])
    expect(bundle.traffic).toHaveLength(1)
    expect(
      observations(bundle).filter(({ kind }) => kind === 'packet' || kind === 'trace' || kind === 'rule' || kind === 'set-member'),
    ).toHaveLength(4)
    expect(bundle.notes.map((note) => note.split(':')[0]).toSorted()).toEqual([
      'bundle.json',
      'cases/b.json',
      'evidence/n1/packets.pcapng',
      'evidence/n1/traces.jsonl',
      'snapshots/after/meta.json',
      'snapshots/after/n1/node/ipset.txt',
      'snapshots/before/n1/demo.sleep/iptables-save.txt',
      'snapshots/before/n1/demo.sleep/iptables-save.txt',
      'traffic.jsonl',
    ])
  })

  test('with nothing but its head', () => {
    writeFileSync(join(folder, 'bundle.json'), JSON.stringify(manifest))
    const bundle = openBundle(folder)
    expect(bundle).toMatchObject({ topology: undefined, cases: [], traffic: [], nodes: [] })
    expect(observations(bundle)).toEqual([])
  })
})

describe('a bundle that cannot be used', () => {
  test.each([
    [
      'a newer schema',
      { 'bundle.json': '{"schema":2}' },
      /^bundle.json: the bundle has schema 2, this Everyhop reads schema 1. Read it with a newer/,
    ],
    ['an older schema', { 'bundle.json': '{"schema":0}' }, /schema 0.* Read it with the Everyhop that wrote it/],
    ['no schema', { 'bundle.json': '{}' }, /^bundle.json: schema: /],
    ['no JSON', { 'bundle.json': 'schema: 1' }, /^bundle.json: no JSON: schema: 1/],
    ['a manifest without a mode', { 'bundle.json': JSON.stringify({ ...manifest, mode: undefined }) }, /^bundle.json: mode: /],
    ['a case that is no object', { 'cases/a.json': '[]' }, /^cases\/a.json: /],
    ['a case with broken JSON', { 'cases/a.json': '{"id": oops}' }, /^cases\/a.json: no JSON/],
    ['a broken line of traffic', { 'traffic.jsonl': '{"case":"a"}\nnonsense\n{}\n' }, /^traffic.jsonl, line 2: no JSON: nonsense/],
    [
      'a capture that is none',
      { 'evidence/n1/packets.pcapng': 'this is no capture file' },
      /^evidence\/n1\/packets.pcapng, byte 0x0: this is not a pcapng/,
    ],
    ['a broken trace', { 'evidence/n1/traces.jsonl': '{}\n' }, /^evidence\/n1\/traces.jsonl, line 1: /],
    [
      'handles that are none',
      { 'snapshots/before/n1/demo.sleep/handles.json': '{"ip":{"nat":{"A":["x"]}}}' },
      /handles.json: ip.nat.A.0: /,
    ],
    [
      'a rule dump that is none',
      { 'snapshots/before/n1/demo.sleep/iptables-save.txt': 'oops\n' },
      /iptables-save.txt, line 1: outside of any table/,
    ],
  ])('%s', (_, change, problem) => {
    write(change)
    expect(() => observations(openBundle(folder))).toThrow(EvidenceError)
    expect(() => observations(openBundle(folder))).toThrow(problem)
  })

  test('a folder that is not there, is no bundle, or has a folder where a file should be', () => {
    expect(() => openBundle(join(folder, 'none'))).toThrow(/none: there is no such folder/)
    expect(() => openBundle(folder)).toThrow(/^bundle.json: it is not in .*Give the folder of a bundle/)
    write({ 'traffic.jsonl': undefined })
    mkdirSync(join(folder, 'traffic.jsonl'))
    expect(() => openBundle(folder)).toThrow(/^traffic.jsonl: it cannot be read: EISDIR/)
  })

  test('whatever happened to one file, it opens or there is an EvidenceError', () => {
    write()
    const names = Object.keys(files)
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.nat(), fc.option(fc.nat(255)), (name, at, value) => {
        const original = Buffer.from(files[name]!)
        const bytes = Buffer.from(value === null ? original.subarray(0, at % (original.length + 1)) : original)
        if (value !== null) bytes[at % bytes.length] = value
        writeFileSync(join(folder, name), bytes)
        try {
          observations(openBundle(folder))
        } catch (error) {
          expect(error).toBeInstanceOf(EvidenceError)
        }
        writeFileSync(join(folder, name), original)
      }),
      { numRuns: 400 },
    )
  })
})
