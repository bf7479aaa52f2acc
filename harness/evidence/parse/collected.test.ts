import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { observations, openBundle, snapshots } from '../bundle.ts'
import { connections, vantageOf } from './connections.ts'
import { compareRules } from './normalise-rule.ts'
import { ObservationIndex } from './observation-index.ts'
import { findToken, findTokenInPackets } from './token.ts'

/** Evidence that the real collector wrote of one redirected connection: see fixtures/README.md. */
const bundle = openBundle(fileURLToPath(new URL('fixtures/collected', import.meta.url)))
const index = new ObservationIndex(observations(bundle))
const app = index.kind('packet').find(({ to }) => to === '127.0.0.1:15001')!.from
const token = 'token-0123456789abcdef'

test('nothing is cut, nothing was lost, every trace line has its packet', () => {
  expect(bundle.notes).toEqual([])
  expect(index.kind('loss').length).toBeGreaterThan(10)
  expect(index.kind('loss').filter(({ lost }) => lost > 0)).toEqual([])
  expect(index.kind('trace').filter(({ from, protocol }) => from === '' || protocol === 'other')).toEqual([])
})

test('markers of each namespace, in packets and in traces', () => {
  const seen = index.kind('marker').map(({ netns, stream, id }) => `${id} ${stream} ${netns}`)
  const expected = ['after-000001', 'before-00001'].flatMap((id) =>
    ['packets', 'traces'].flatMap((stream) => ['demo.httpbin', 'demo.sleep', 'node'].map((netns) => `${id} ${stream} ${netns}`)),
  )
  expect(seen.toSorted()).toEqual(expected)
})

describe('the redirected connection', () => {
  test("its SYN meets the redirect rule, its later packets the restored mark: rules by name through the snapshot's handles", () => {
    const lines = index
      .flow(app, '10.244.1.6:8080')
      .filter((o) => o.kind === 'trace')
      .filter((o) => o.rule !== undefined && o.chain === 'ISTIO_OUTPUT')
    expect(lines.map(({ table, rule, verdict, mark, flags }) => ({ table, rule, verdict, mark, flags }))).toEqual([
      {
        table: 'nat',
        rule: '-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001',
        verdict: 'accept',
        mark: 0,
        flags: 'S',
      },
      {
        table: 'mangle',
        rule: '-A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff',
        verdict: 'continue',
        mark: 0x111,
        flags: 'AP',
      },
    ])
  })

  test('every rule line of an iptables table has its text, none of ours has one', () => {
    const rules = index.kind('trace').filter(({ type }) => type === 'rule')
    for (const { table, rule, ref } of rules) expect([ref, rule !== undefined]).toEqual([ref, table !== 'everyhop'])
    expect(new Set(rules.map(({ table }) => table))).toEqual(new Set(['everyhop', 'mangle', 'nat']))
  })

  test('its conntrack entry and its sockets', () => {
    const entries = index.kind('conntrack').filter(({ orig }) => orig.from === app && orig.to === '10.244.1.6:8080')
    expect(entries.map(({ event }) => event)).toContain('new')
    expect(entries.at(-1)).toMatchObject({ reply: { from: '127.0.0.1:15001', to: app }, mark: 0x111 })
    expect(index.kind('socket').filter(({ netns, mark }) => netns === 'demo.sleep' && mark === 0x539).length).toBeGreaterThan(0)
  })

  test('its streams are complete where they pass, and the token is in them', () => {
    const found = connections(index.kind('packet')).flatMap(({ packets, toServer, toClient }) =>
      [toServer, toClient]
        .filter(({ length }) => length > 0)
        .map((stream) => {
          const { complete, ended, to } = stream
          return { at: `${vantageOf(packets[0]!)} → ${to === app ? 'app' : to}`, complete, ended, token: findToken(stream, token).length }
        }),
    )
    const whole = { complete: true, ended: 'fin', token: 1 }
    const own = index.kind('packet').find(({ dev, to, flags }) => dev === 'eth0' && to === '10.244.1.6:8080' && flags === 'S')!.from
    expect(found.toSorted((a, b) => (a.at < b.at ? -1 : 1))).toEqual([
      { at: `n1/demo.httpbin/eth0 → ${own}`, ...whole },
      { at: 'n1/demo.httpbin/eth0 → 10.244.1.6:8080', ...whole },
      { at: `n1/demo.sleep/eth0 → ${own}`, ...whole },
      { at: 'n1/demo.sleep/eth0 → 10.244.1.6:8080', ...whole },
      { at: 'n1/demo.sleep/lo → 127.0.0.1:15001', ...whole },
      { at: 'n1/demo.sleep/lo → app', ...whole },
    ])
    // Both ways, seen at two Ethernet devices once and on lo twice; never on the node.
    const hits = findTokenInPackets(index.kind('packet'), token).map(({ packets }) => vantageOf(packets[0]!))
    expect(hits.toSorted()).toEqual([
      'n1/demo.httpbin/eth0',
      'n1/demo.httpbin/eth0',
      'n1/demo.sleep/eth0',
      'n1/demo.sleep/eth0',
      ...Array(4).fill('n1/demo.sleep/lo'),
    ])
  })
})

test('the snapshots: listener with its mark, policy rule, and the same rules before and after', () => {
  expect(index.kind('listener').filter(({ local }) => local.endsWith(':15001'))).toMatchObject([
    { snapshot: 'after', netns: 'demo.sleep', mark: 0x539, protocol: 'tcp' },
  ])
  expect(
    index
      .kind('policy-rule')
      .filter(({ netns, line }) => netns === 'demo.sleep' && line.includes('0x111'))
      .map(({ line }) => line),
  ).toEqual(Array(2).fill('32764: from all fwmark 0x111/0xfff lookup 100'))
  const [after, before] = snapshots(bundle).rules.filter(({ netns }) => netns === 'demo.sleep')
  expect(compareRules(before!.dump, after!.dump)).toEqual([])
  expect(index.kind('rule').filter(({ snapshot, packets }) => snapshot === 'after' && packets > 0).length).toBeGreaterThan(3)
})
