import { describe, expect, test } from 'vitest'
import { parseIptablesSave } from './iptables-save.ts'
import { legacyVerdict } from './legacy-traces.ts'
import { RuleTexts } from './rule-texts.ts'
import { parseTraces } from './traces.ts'

const nh = '4500003c123440004006aaaa0a0000010a000002'
const th = '03e8005011223344000000005002ffffbbbb0000'
const line = (change: object) =>
  `${JSON.stringify({ t: 100, netns: 'a.b', backend: 'legacy', traceId: 'w1', family: 'ip', table: 'mangle', chain: 'OUTPUT', type: 'rule', number: 1, verdict: 'unknown', mark: 0, ...change })}\n`
const dump = (...rules: string[]) =>
  parseIptablesSave(`*mangle\n:OUTPUT DROP [0:0]\n:X - [0:0]\n${rules.map((rule) => `${rule}\n`).join('')}COMMIT\n`, 'f')
const source = (t: number, ...rules: string[]) =>
  ({ node: 'n1', netns: 'a.b', t, family: 'ip', dump: dump(...rules), handles: {}, backend: 'legacy' }) as const
const parse = (text: string, ...sources: ReturnType<typeof source>[]) =>
  parseTraces(Buffer.from(text), 'f', 'n1', new RuleTexts(sources), []).map(({ observation }) => observation)

test('rules by number, the mark after the rule, the policy of the chain', () => {
  const walk =
    line({ nh, th, oif: 'eth0' }) +
    line({ traceId: 'other', mark: 9 }) +
    line({ chain: 'X', number: 2 }) +
    line({ type: 'policy', number: 2, mark: 0x111 })
  const found = parse(walk, source(50, '-A OUTPUT -j X', '-A X -j ACCEPT', '-A X -j MARK --set-xmark 0x111/0xfff'))
  const packet = { from: '10.0.0.1:1000', to: '10.0.0.2:80', flags: 'S', oif: 'eth0', backend: 'legacy' }
  expect(found[0]).toMatchObject({ ...packet, number: 1, rule: '-A OUTPUT -j X', verdict: 'jump X', mark: 0 })
  expect(found[2]).toMatchObject({ ...packet, rule: '-A X -j MARK --set-xmark 0x111/0xfff', verdict: 'continue', mark: 0x111 })
  expect(found[3]).toMatchObject({ type: 'policy', verdict: 'drop', mark: 0x111 })
  expect(found[3]).not.toHaveProperty('rule')
  expect(found[1]).toMatchObject({ traceId: 'other', mark: 9 })
})

test('numbers are of their time: the nearest snapshot before counts; nf_tables dumps of the same names do not', () => {
  const sources = [source(10, '-A OUTPUT -j A'), source(50, '-A OUTPUT -j B'), source(200, '-A OUTPUT -j C')]
  expect(parse(line({ nh, th }), ...sources)[0]!.rule).toBe('-A OUTPUT -j B')
  const { backend: _, ...nft } = source(10, '-A OUTPUT -j A')
  const found = parseTraces(Buffer.from(line({ nh, th })), 'f', 'n1', new RuleTexts([nft]), [])[0]!.observation
  expect(found).toMatchObject({ verdict: 'unknown', number: 1 })
  expect(found).not.toHaveProperty('rule')
})

describe('verdict of a rule', () => {
  test.each([
    ['-A X -j ACCEPT', 'accept'],
    ['-A X -p tcp -j REDIRECT --to-ports 15001', 'accept'],
    ['-A X -p tcp -j TPROXY --on-port 15008 --on-ip 127.0.0.1 --tproxy-mark 0x111/0xfff', 'accept'],
    ['-A X -j SNAT --to-source 169.254.7.127', 'accept'],
    ['-A X -j DNAT --to-destination 10.0.0.1', 'accept'],
    ['-A X -j DROP', 'drop'],
    ['-A X -j REJECT --reject-with icmp-port-unreachable', 'drop'],
    ['-A X -m mark --mark 0x1 -j RETURN', 'return'],
    ['-A X -j CONNMARK --set-xmark 0x111/0xfff', 'continue'],
    ['-A X -j CT --zone 1', 'continue'],
    ['-A X -p tcp', 'continue'],
    ['-A X -g Y', 'goto Y'],
    ['-A X -m comment --comment "not -j DROP here" -j KUBE-SERVICES', 'jump KUBE-SERVICES'],
  ])('%s', (rule, verdict) => {
    expect(legacyVerdict({ type: 'rule', verdict: 'unknown' }, rule)).toBe(verdict)
  })
})
