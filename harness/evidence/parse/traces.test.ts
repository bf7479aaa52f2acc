import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EvidenceError } from './error.ts'
import { parseConntrack, parseLosses, parseSockets } from './events.ts'
import { parseIptablesSave } from './iptables-save.ts'
import { markersInPackets, markersInTraces } from './markers.ts'
import { RuleTexts } from './rule-texts.ts'
import { parseTraces } from './traces.ts'

/** 10.244.1.115:42258 → 10.96.0.20:80, SYN, seq 0x01020304. */
const nh = '450000280001400040060000' + '0af40173' + '0a600014'
const th = 'a5120050' + '01020304' + '00000000' + '5002' + '020000000000'
/** The same after REDIRECT: to 127.0.0.1:15001. */
const nhAfter = `${nh.slice(0, 32)}7f000001`
const thAfter = `a5123a99${th.slice(8)}`
const line = (change: object) =>
  `${JSON.stringify({ t: 100, netns: 'demo.sleep', traceId: 'a1', family: 'ip', table: 'nat', chain: 'OUTPUT', type: 'rule', verdict: 'accept', mark: 0, ...change })}\n`
const parse = (text: string, rules = new RuleTexts([]), notes: string[] = []) => parseTraces(Buffer.from(text), 'f', 'n1', rules, notes)

describe('traces', () => {
  test("a walk's first line tells the packet of all that follow, until the next one", () => {
    const traces = parse(
      line({ oif: 'eth0', nh, th, handle: 5, verdict: 'jump ISTIO_OUTPUT' }) +
        line({ netns: 'demo.other', nh: nhAfter, th: thAfter }) +
        line({ chain: 'ISTIO_OUTPUT', handle: 9, mark: 0x539 }) +
        line({ type: 'policy', iif: 'lo', nh: nhAfter, th: thAfter }) +
        line({ type: 'return' }),
    ).map(({ observation }) => observation)
    expect(traces[0]).toEqual({
      kind: 'trace',
      ref: 'f#L1',
      node: 'n1',
      netns: 'demo.sleep',
      t: 100,
      traceId: 'a1',
      family: 'ip',
      table: 'nat',
      chain: 'OUTPUT',
      type: 'rule',
      handle: 5,
      verdict: 'jump ISTIO_OUTPUT',
      mark: 0,
      oif: 'eth0',
      protocol: 'tcp',
      from: '10.244.1.115:42258',
      to: '10.96.0.20:80',
      flags: 'S',
      seq: 0x01020304,
    })
    expect(traces.map(({ to, oif, iif }) => [to, oif, iif])).toEqual([
      ['10.96.0.20:80', 'eth0', undefined],
      ['127.0.0.1:15001', undefined, undefined],
      ['10.96.0.20:80', 'eth0', undefined],
      ['127.0.0.1:15001', undefined, 'lo'],
      ['127.0.0.1:15001', undefined, 'lo'],
    ])
    expect(traces[2]).toMatchObject({ chain: 'ISTIO_OUTPUT', mark: 0x539 })
  })

  test('lines without a first line have no addresses, and are counted', () => {
    const notes: string[] = []
    expect(parse(line({}), undefined, notes)[0]!.observation).toMatchObject({ from: '', to: '', protocol: 'other', flags: '' })
    expect(notes).toEqual([expect.stringMatching(/^f: 1 lines are of walks whose first line is missing/)])
  })

  test('IPv6, and network headers that the kernel cut', () => {
    const nh6 = `6000000000140640${'fd'.padEnd(31, '0')}1${'fd'.padEnd(31, '0')}2`
    expect(parse(line({ family: 'ip6', nh: nh6, th }))[0]!.observation).toMatchObject({
      from: '[fd00::1]:42258',
      to: '[fd00::2]:80',
      flags: 'S',
    })
    // 11 words of IPv4 header, of which 40 bytes came: what follows is not where the transport header would be.
    const long = `4b000100${nh.slice(8, 40)}${'00'.repeat(20)}`
    expect(parse(line({ nh: long, th }))[0]!.observation).toMatchObject({
      from: '10.244.1.115',
      to: '10.96.0.20',
      protocol: 'tcp',
      flags: '',
    })
  })

  test.each([
    ['no hex', { nh: 'xyz' }, /^f, line 1: nh: must be bytes/],
    ['another type', { type: 'reject' }, /^f, line 1: type: /],
  ])('%s is an error', (_, change, problem) => expect(() => parse(line(change))).toThrow(problem))
})

describe('rule texts', () => {
  const dump = (...rules: string[]) =>
    parseIptablesSave(`*nat\n:OUTPUT ACCEPT [0:0]\n${rules.map((rule) => `-A OUTPUT ${rule}\n`).join('')}COMMIT\n`, 'f')
  const source = (t: number | undefined, handles: number[], ...rules: string[]) => ({
    node: 'n1',
    netns: 'demo.sleep',
    t,
    family: 'ip' as const,
    dump: dump(...rules),
    handles: { ip: { nat: { OUTPUT: handles } } },
  })
  const ruleOf = (texts: RuleTexts, change: object) => parse(line({ nh, th, ...change }), texts)[0]!.observation.rule

  test('by handle, from the nearest snapshot before, else an older, else a later one', () => {
    const texts = new RuleTexts([source(10, [5, 6], '-j A', '-j B'), source(50, [6, 7], '-j B2', '-j C'), source(200, [9], '-j D')])
    expect(ruleOf(texts, { handle: 7 })).toBe('-A OUTPUT -j C')
    expect(ruleOf(texts, { handle: 6 })).toBe('-A OUTPUT -j B2')
    expect(ruleOf(texts, { handle: 6, t: 20 })).toBe('-A OUTPUT -j B')
    expect(ruleOf(texts, { handle: 5 })).toBe('-A OUTPUT -j A')
    expect(ruleOf(texts, { handle: 9 })).toBe('-A OUTPUT -j D')
  })

  test('none for another handle, chain, table, family or namespace', () => {
    const texts = new RuleTexts([source(10, [5], '-j A')])
    expect(ruleOf(texts, { handle: 5 })).toBe('-A OUTPUT -j A')
    for (const change of [{ handle: 6 }, { chain: 'X' }, { table: 'everyhop' }, { family: 'ip6' }, { netns: 'demo.x' }]) {
      expect(ruleOf(texts, { handle: 5, ...change })).toBeUndefined()
    }
  })

  test('none where rules and handles do not fit together', () => {
    expect(ruleOf(new RuleTexts([source(10, [5], '-j A', '-j B')]), { handle: 5 })).toBeUndefined()
  })

  test('without times the last snapshot comes first', () => {
    expect(ruleOf(new RuleTexts([source(undefined, [5], '-j A'), source(undefined, [5], '-j B')]), { handle: 5 })).toBe('-A OUTPUT -j B')
  })
})

describe('markers', () => {
  const udpHeader = 'c0000009' + '0014' + '0000'
  const id = 'm-0123456789'
  const lo = '45000020000140004011000' + '0' + '7f000001' + '7f000001'
  const marker = { nh: lo, th: udpHeader + Buffer.from(id).toString('hex'), table: 'everyhop' }

  test('in traces: the first line of the first walk of each namespace', () => {
    const traces = parse(
      line(marker) + line({}) + line({ ...marker, chain: 'prerouting' }) + line({ ...marker, netns: 'node' }) + line({ nh, th }),
    )
    expect(markersInTraces(traces)).toEqual([
      { kind: 'marker', ref: 'f#L1', node: 'n1', netns: 'demo.sleep', t: 100, stream: 'traces', id },
      { kind: 'marker', ref: 'f#L4', node: 'n1', netns: 'node', t: 100, stream: 'traces', id },
    ])
  })

  test('in packets: UDP to the discard port of lo with twelve printable characters', () => {
    const seen = (change: object) =>
      ({
        kind: 'packet',
        ref: 'f#p1',
        node: 'n1',
        netns: 'node',
        t: 1,
        protocol: 'udp',
        to: '127.0.0.1:9',
        payload: Buffer.from(`${id} more`),
        ...change,
      }) as never
    expect(markersInPackets([seen({}), seen({ ref: 'f#p2' })])).toEqual([
      { kind: 'marker', ref: 'f#p1', node: 'n1', netns: 'node', t: 1, stream: 'packets', id },
    ])
    for (const change of [
      { to: '127.0.0.1:10' },
      { protocol: 'tcp' },
      { payload: Buffer.from('short') },
      { payload: Buffer.from('spaces in it') },
    ]) {
      expect(markersInPackets([seen(change)])).toEqual([])
    }
  })
})

describe('events', () => {
  const parsers = { parseConntrack, parseSockets, parseLosses }
  const valid = {
    parseConntrack: {
      t: 1,
      netns: 'node',
      event: 'new',
      protocol: 'tcp',
      orig: { from: 'a:1', to: 'b:2' },
      reply: { from: 'b:2', to: 'a:1' },
      mark: 0x111,
      zone: 0,
      status: 4,
    },
    parseSockets: { t: 1, netns: 'node', local: 'a:1', peer: 'b:2', mark: 0x539, uid: -1 },
    parseLosses: { t: 1, netns: 'node', stream: 'packets', lost: 3 },
  }
  const kinds = { parseConntrack: 'conntrack', parseSockets: 'socket', parseLosses: 'loss' }

  test.each(Object.keys(parsers) as (keyof typeof parsers)[])('%s: each line an observation', (name) => {
    const bytes = Buffer.from(`${JSON.stringify(valid[name])}\n\n${JSON.stringify({ ...valid[name], extra: 1 })}`)
    expect(parsers[name](bytes, 'f', 'n1', [])).toEqual(
      [1, 3].map((n) => ({ kind: kinds[name], ref: `f#L${n}`, node: 'n1', ...valid[name] })),
    )
    expect(() => parsers[name](Buffer.from(JSON.stringify({ ...valid[name], netns: 5 })), 'f', 'n1', [])).toThrow(/^f, line 1: netns: /)
  })

  test('whatever the bytes are, there are observations or an EvidenceError', () => {
    const all = [...Object.values(parsers), (bytes: Uint8Array) => parse(Buffer.from(bytes).toString())]
    const value = fc.oneof(
      fc.json(),
      fc.constantFrom(...Object.values(valid).map((v) => JSON.stringify(v)), line({ nh, th }), '{"t":', '[]', 'null'),
    )
    fc.assert(
      fc.property(
        fc.constantFrom(...all),
        fc.oneof(
          fc.uint8Array(),
          fc.array(value).map((v) => Buffer.from(v.join('\n'))),
        ),
        (parser, bytes) => {
          try {
            parser(bytes, 'f', 'n1', [])
          } catch (error) {
            expect(error).toBeInstanceOf(EvidenceError)
          }
        },
      ),
    )
  })
})
