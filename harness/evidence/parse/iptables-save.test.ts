import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EvidenceError } from './error.ts'
import { parseIptablesSave, ruleObservations } from './iptables-save.ts'
import { compareRules, normaliseRule } from './normalise-rule.ts'

const fixture = (name: string) => readFileSync(new URL(`fixtures/${name}`, import.meta.url), 'utf8')
const pod = fixture('pod-iptables-save.txt')

describe('iptables-save', () => {
  test("an enrolled pod's rules, table by table", () => {
    const dump = parseIptablesSave(pod, 'f')
    expect([...dump.keys()]).toEqual(['mangle', 'raw', 'nat'])
    expect(dump.get('mangle')!.get('PREROUTING')).toMatchObject({ policy: 'ACCEPT', packets: 45, bytes: 4706 })
    expect(dump.get('nat')!.get('ISTIO_PRERT')).toEqual({
      policy: '-',
      packets: 0,
      bytes: 0,
      rules: [
        { text: '-A ISTIO_PRERT -s 169.254.7.127/32 -p tcp -m tcp -j ACCEPT', packets: 0, bytes: 0, line: 44 },
        {
          text: '-A ISTIO_PRERT ! -d 127.0.0.1/32 -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006',
          packets: 0,
          bytes: 0,
          line: 45,
        },
      ],
    })
    expect(dump.get('nat')!.get('ISTIO_OUTPUT')!.rules).toHaveLength(6)
  })

  test('counters, and the position of each rule in its chain', () => {
    const text =
      '*nat\n:OUTPUT ACCEPT [1:60]\n:X - [0:0]\n[7:420] -A OUTPUT -j X\n[3:180] -A X -p tcp -j ACCEPT\n[4:240] -A X -j RETURN\nCOMMIT\n'
    const place = { node: 'n1', netns: 'demo.a', snapshot: 's', family: 'ip' } as const
    expect(ruleObservations(parseIptablesSave(text, 'f'), 'f', place)).toEqual([
      { kind: 'rule', ref: 'f#L4', ...place, table: 'nat', chain: 'OUTPUT', position: 0, rule: '-A OUTPUT -j X', packets: 7, bytes: 420 },
      { kind: 'rule', ref: 'f#L5', ...place, table: 'nat', chain: 'X', position: 0, rule: '-A X -p tcp -j ACCEPT', packets: 3, bytes: 180 },
      { kind: 'rule', ref: 'f#L6', ...place, table: 'nat', chain: 'X', position: 1, rule: '-A X -j RETURN', packets: 4, bytes: 240 },
    ])
  })

  test('a dump that was cut keeps its whole lines and says so', () => {
    const notes: string[] = []
    const dump = parseIptablesSave(pod.slice(0, pod.indexOf('-j CONNMARK --set')), 'f', notes)
    expect(notes).toEqual(['f: it ends inside table mangle; what follows is missing'])
    expect(dump.get('mangle')!.get('ISTIO_OUTPUT')!.rules).toHaveLength(1)
    expect(dump.get('mangle')!.get('ISTIO_PRERT')!.rules).toHaveLength(0)
  })

  test.each([
    ['a rule outside', '-A X -j Y\n', /f, line 1: outside of any table/],
    ['a rule of no chain', '*nat\n-A X -j Y\nCOMMIT\n', /f, line 2: a rule of a chain that is not declared/],
    ['other text', '*nat\niptables: command not found\n', /f, line 2: neither a chain nor a rule/],
    ['a table in a table', '*nat\n*raw\n', /f, line 2: a table inside a table/],
  ])('%s is an error', (_, text, problem) => {
    expect(() => parseIptablesSave(text, 'f')).toThrow(EvidenceError)
    expect(() => parseIptablesSave(text, 'f')).toThrow(problem)
  })

  test('whatever the text is, there is a dump or an EvidenceError', () => {
    const lines = fc.constantFrom(
      '*nat',
      ':A - [0:0]',
      '-A A -j B',
      '[1:2] -A A',
      'COMMIT',
      ':__proto__ - [0:0]',
      '-A __proto__ -j x',
      '*',
      '-A',
      '[',
      'x',
      '',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(lines).map((l) => l.join('\n')),
        ),
        (text) => {
          try {
            const dump = parseIptablesSave(text, 'f')
            for (const chains of dump.values()) for (const { rules } of chains.values()) for (const rule of rules) normaliseRule(rule.text)
          } catch (error) {
            expect(error).toBeInstanceOf(EvidenceError)
          }
        },
      ),
    )
  })
})

describe('normalised rules', () => {
  test.each([
    // What Istio's agent writes, and what iptables-save makes of it.
    [
      '-A ISTIO_PRERT ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-port 15006',
      '-A ISTIO_PRERT ! -d 127.0.0.1/32 -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006',
    ],
    [
      '-A ISTIO_PRERT -m mark --mark 1337/4095 -j CONNMARK --set-xmark 0x111/0xFFF',
      '-A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff',
    ],
    [
      '-A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark',
      '-A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff',
    ],
    [
      '-A ISTIO_POSTRT -m owner --socket-exists -p tcp -m set --match-set istio-inpod-probes-v4 dst -j SNAT --to-source 169.254.7.127',
      '-A ISTIO_POSTRT -p tcp -m owner --socket-exists -m set --match-set istio-inpod-probes-v4 dst -j SNAT --to-source 169.254.7.127',
    ],
    [
      '[12:34] -A ISTIO_OUTPUT --destination 169.254.7.127 --protocol tcp --match tcp --jump ACCEPT',
      '-A ISTIO_OUTPUT -d 169.254.7.127/32 -p tcp -m tcp -j ACCEPT',
    ],
    [
      '-A X -m mark --mark 1 -p udp --dport 53 -j MARK --set-mark 0x10',
      '-A X -p udp -m udp --dport 53 -m mark --mark 0x1 -j MARK --set-xmark 0x10/0xffffffff',
    ],
  ])('%s', (one, other) => expect(normaliseRule(one)).toBe(normaliseRule(other)))

  test('what differs in meaning stays different', () => {
    const rule = '-A X ! -d 127.0.0.1/32 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001'
    for (const [from, to] of [
      ['! -d', '-d'],
      ['! --mark', '--mark'],
      ['0xfff', '0xff'],
      ['15001', '15006'],
      ['-p tcp', '-p udp'],
      ['-A X', '-A Y'],
      ['127.0.0.1/32', '127.0.0.0/8'],
    ] as const) {
      expect(normaliseRule(rule.replace(from, to))).not.toBe(normaliseRule(rule))
    }
  })

  test('a bare IPv6 address is a host', () => {
    expect(normaliseRule('-A X -d ::1 -j ACCEPT', 'ip6')).toBe('-A X -d ::1/128 -j ACCEPT')
  })

  test('a comment with spaces and an option in it is one word', () => {
    expect(normaliseRule('-A X -m comment --comment "a -j \\"b\\" c" -j ACCEPT')).toBe(
      '-A X -m comment --comment "a -j \\"b\\" c" -j ACCEPT',
    )
  })
})

describe('comparing dumps', () => {
  const parse = (text: string) => parseIptablesSave(text, 'f')

  test('the order of tables and the counters do not matter', () => {
    const tables = pod.split(/(?=^\*)/m)
    const turned = parse([...tables.slice(1).reverse()].join('').replaceAll(/^-A/gm, '[3:4] -A'))
    expect(compareRules(parse(pod), turned)).toEqual([])
  })

  test('a missing, an added and a moved rule are told by chain', () => {
    const changed = pod
      .replace('-A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff\n', '')
      .replace(/(-A ISTIO_OUTPUT ! -d 127.0.0.1\/32 -o lo -j ACCEPT\n)(-A ISTIO_OUTPUT .*15001\n)/, '$2$1')
      .replace('--sport 53 -j CT --zone 1', '--sport 53 -j CT --zone 2')
    expect(compareRules(parse(pod), parse(changed))).toEqual([
      {
        table: 'mangle',
        chain: 'ISTIO_PRERT',
        missing: ['-A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff'],
        unexpected: [],
        reordered: false,
      },
      {
        table: 'raw',
        chain: 'ISTIO_PRERT',
        missing: ['-A ISTIO_PRERT -p udp -m mark ! --mark 0x539/0xfff -m udp --sport 53 -j CT --zone 1'],
        unexpected: ['-A ISTIO_PRERT -p udp -m mark ! --mark 0x539/0xfff -m udp --sport 53 -j CT --zone 2'],
        reordered: false,
      },
      { table: 'nat', chain: 'ISTIO_OUTPUT', missing: [], unexpected: [], reordered: true },
    ])
  })

  test('only the chains that are asked for', () => {
    const other = parse(pod.replaceAll('ISTIO_', 'OTHER_'))
    expect(compareRules(parse(pod), other, 'ip', (table, chain) => table === 'nat' && chain === 'PREROUTING')).toEqual([
      {
        table: 'nat',
        chain: 'PREROUTING',
        missing: ['-A PREROUTING -j ISTIO_PRERT'],
        unexpected: ['-A PREROUTING -j OTHER_PRERT'],
        reordered: false,
      },
    ])
  })
})
