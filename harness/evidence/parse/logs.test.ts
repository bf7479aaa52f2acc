import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EvidenceError } from './error.ts'
import { microseconds, parseLogs, parseZtunnelLine } from './logs.ts'

const log = readFileSync(new URL('fixtures/ztunnel-log.txt', import.meta.url), 'utf8')

describe("ztunnel's lines", () => {
  test('all of a real log are read, with their fields', () => {
    const lines = log.trimEnd().split('\n')
    const parsed = lines.map(parseZtunnelLine)
    expect(parsed.every((line) => line?.target === 'access')).toBe(true)
    expect(parsed[0]).toEqual({
      t: Date.parse('2026-11-21T04:07:22.542Z') * 1000 + 454,
      level: 'info',
      target: 'access',
      message: 'connection complete',
      fields: {
        'src.addr': '10.244.1.115:42258',
        'src.workload': 'sleep-worker',
        'src.namespace': 'demo',
        'src.identity': 'spiffe://cluster.local/ns/demo/sa/default',
        'src.cluster': 'Kubernetes',
        'dst.addr': '10.244.2.118:15008',
        'dst.hbone_addr': '10.244.2.118:8080',
        'dst.service': 'httpbin.demo.svc.cluster.local',
        'dst.workload': 'httpbin-worker2',
        'dst.namespace': 'demo',
        'dst.identity': 'spiffe://cluster.local/ns/demo/sa/default',
        'dst.cluster': 'Kubernetes',
        direction: 'outbound',
        bytes_sent: '81',
        bytes_recv: '188',
        duration: '2ms',
      },
    })
  })

  test.each([
    [
      'quotes and escapes',
      '2026-11-21T04:07:22Z\terror\taccess\tconnection complete\terror="io error: \\"x\\"\\n\\u{e9} \\\\ a=b" n=1',
      { error: 'io error: "x"\n\u00e9 \\ a=b', n: '1' },
    ],
    [
      'a life-cycle line',
      '2026-11-21T04:07:22.5Z\tinfo\tinpod::statemanager\tpod received, starting proxy\tuid="u-1" name="a" namespace="demo"',
      { uid: 'u-1', name: 'a', namespace: 'demo' },
    ],
    ['no fields', '2026-11-21T04:07:22.123456789Z\tinfo\tinpod\treceived snapshot sent', {}],
    ['fields without a message', '2026-11-21T04:07:22Z\tdebug\tdns\tsrc.workload="a" endpoints=1', { 'src.workload': 'a', endpoints: '1' }],
    ['an empty value', '2026-11-21T04:07:22Z\tinfo\ta\tm\ta="" b=', { a: '', b: '' }],
  ])('%s', (_, line, fields) => expect(parseZtunnelLine(line)?.fields).toEqual(fields))

  test('text behind the message that is no list of fields belongs to it', () => {
    expect(parseZtunnelLine('2026-11-21T04:07:22Z\twarn\ta\tfirst\tfree text "here"')).toMatchObject({
      message: 'first\tfree text "here"',
      fields: {},
    })
  })

  test('JSON form', () => {
    const line =
      '{"level":"info","time":"2026-11-21T04:07:22.542454Z","scope":"access","message":"connection complete","src.addr":"10.0.0.1:1","bytes_sent":81}'
    expect(parseZtunnelLine(line)).toEqual({
      t: Date.parse('2026-11-21T04:07:22.542Z') * 1000 + 454,
      level: 'info',
      target: 'access',
      message: 'connection complete',
      fields: { 'src.addr': '10.0.0.1:1', bytes_sent: '81' },
    })
  })

  test.each(["thread 'main' panicked at src/x.rs:1", '', '{"a":1}', '{', '2026-11-21T04:07:22Z\tinfo', 'yesterday\tinfo\ta\tb'])(
    '%j is none',
    (line) => {
      expect(parseZtunnelLine(line)).toBeUndefined()
    },
  )

  test('any string survives quoting', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (value) => {
        const quoted = JSON.stringify(value)
          .replaceAll(/\\u([0-9a-f]{4})/g, '\\u{$1}')
          .replaceAll('\\b', '\\u{8}')
          .replaceAll('\\f', '\\u{c}')
        expect(parseZtunnelLine(`2026-11-21T04:07:22Z\ti\ta\tm\tk=${quoted} n=1`)?.fields).toEqual({ k: value, n: '1' })
      }),
    )
  })

  test('any line is read or not, without an error', () => {
    const parts = fc.constantFrom('2026-11-21T04:07:22Z', '\t', 'info', ' ', 'k=', '"', '\\', '\\u{110000}', 'v', '__proto__=1', '{', '}')
    fc.assert(
      fc.property(fc.array(parts), (line) => {
        parseZtunnelLine(line.join(''))
        parseZtunnelLine(`2026-11-21T04:07:22Z\ti\ta\tm\t${line.join('')}`)
      }),
    )
  })
})

test('times: zone, fraction, nonsense', () => {
  expect(microseconds('2026-11-21T05:00:00.000001+01:00')).toBe(Date.parse('2026-11-21T04:00:00Z') * 1000 + 1)
  expect(microseconds('2026-13-21T05:00:00Z')).toBeUndefined()
  expect(microseconds('5')).toBeUndefined()
})

describe('logs.jsonl', () => {
  const entry = (change: object) =>
    `${JSON.stringify({ t: 5, pod: 'httpbin', namespace: 'demo', container: 'httpbin', stream: 'stdout', line: '', ...change })}\n`
  const served = JSON.stringify({ event: 'served', protocol: 'http', peer: '10.0.0.1:1', local: '10.0.0.2:8080', body: 'token', bytes: 5 })

  test("ztunnel's lines and what httpbin served, nothing else", () => {
    const text =
      entry({ line: '{"event":"listening"}' }) +
      entry({ line: served }) +
      entry({ pod: 'ztunnel-abc', namespace: 'istio-system', line: log.split('\n')[0] }) +
      entry({ pod: 'istiod-1', line: log.split('\n')[0] }) +
      entry({ pod: 'ztunnel-abc', line: 'free text' })
    expect(parseLogs(Buffer.from(text), 'evidence/n1/logs.jsonl', 'n1', [])).toMatchObject([
      {
        kind: 'served',
        ref: 'evidence/n1/logs.jsonl#L2',
        node: 'n1',
        netns: 'demo.httpbin',
        t: 5,
        protocol: 'http',
        peer: '10.0.0.1:1',
        local: '10.0.0.2:8080',
        body: 'token',
      },
      { kind: 'ztunnel-log', ref: 'evidence/n1/logs.jsonl#L3', netns: 'istio-system.ztunnel-abc', message: 'connection complete' },
    ])
  })

  test('a half-written last line is left out with a note; a broken one in the middle is an error', () => {
    const notes: string[] = []
    const text = entry({ line: served }) + entry({ line: served }).slice(0, -30)
    expect(parseLogs(Buffer.from(text), 'f', 'n1', notes)).toHaveLength(1)
    expect(notes).toEqual([expect.stringMatching(/^f: its last line was not finished/)])
    expect(() => parseLogs(Buffer.from(`{"t":\n${entry({})}`), 'f', 'n1', [])).toThrow(EvidenceError)
    expect(() => parseLogs(Buffer.from(`${entry({})}${entry({ t: 'x' })}`), 'f', 'n1', [])).toThrow(/^f, line 2: t: /)
  })
})
