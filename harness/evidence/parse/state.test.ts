import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EvidenceError } from './error.ts'
import { parseLinks, parseListeners, parsePolicyRules, parseRoutes, parseSets, parseSettings } from './state.ts'

const fixture = (name: string) => readFileSync(new URL(`fixtures/${name}`, import.meta.url), 'utf8')
const taken = { node: 'n1', netns: 'demo.httpbin', snapshot: 'after' }

test('devices a line each, settings as one, and what is neither is named', () => {
  expect(parseLinks('1: lo - mtu 65536 mac \n2: eth0 veth mtu 1500 peer 7 10.244.1.5\n', 'f', taken)).toEqual([
    { kind: 'link', ref: 'f#L1', ...taken, family: 'ip', line: '1: lo - mtu 65536 mac' },
    { kind: 'link', ref: 'f#L2', ...taken, family: 'ip', line: '2: eth0 veth mtu 1500 peer 7 10.244.1.5' },
  ])
  expect(parseSettings('net.ipv4.ip_forward = 1\nnet.ipv4.conf.all.rp_filter = 0\n', 'f', taken)).toEqual([
    { kind: 'settings', ref: 'f', ...taken, family: 'ip', line: 'net.ipv4.ip_forward = 1\nnet.ipv4.conf.all.rp_filter = 0' },
  ])
  expect(parseSettings('', 'f', taken)).toEqual([])
  expect(() => parseLinks('eth0 is gone\n', 'f', taken)).toThrow(/f, line 1: no device/)
  expect(() => parseSettings('net.ipv4.ip_forward = 1\nPermission denied\n', 'f', taken)).toThrow(/f, line 2: no setting/)
})

describe('policy routing', () => {
  const text = fixture('pod-ip-rule-route.txt')
  const [rules4, rest] = text.split('# table 100\n')
  const [routes4] = rest!.split('# -6\n')

  test('ip rule', () => {
    expect(parsePolicyRules(rules4!, 'f', taken, 'ip')).toEqual(
      [
        '0: from all lookup local',
        '32764: from all fwmark 0x111/0xfff lookup 100',
        '32766: from all lookup main',
        '32767: from all lookup default',
      ].map((line, i) => ({ kind: 'policy-rule', ref: `f#L${i + 1}`, ...taken, family: 'ip', line })),
    )
    expect(() => parsePolicyRules('Object "ruel" is unknown\n', 'f', taken, 'ip')).toThrow(/f, line 1: no policy rule/)
  })

  test('ip route, with the lines of a multipath route joined', () => {
    expect(parseRoutes(routes4!, 'f', taken, 'ip')).toEqual([
      { kind: 'route', ref: 'f#L1', ...taken, family: 'ip', line: 'local default dev lo scope host' },
    ])
    expect(
      parseRoutes(
        'default proto static \n\tnexthop via 10.0.0.1 dev a weight 1 \n\tnexthop via 10.0.0.2 dev b weight 1 \nfd00::/8 dev c\n',
        'f',
        taken,
        'ip6',
      ),
    ).toMatchObject([
      { line: 'default proto static nexthop via 10.0.0.1 dev a weight 1 nexthop via 10.0.0.2 dev b weight 1', ref: 'f#L1' },
      { line: 'fd00::/8 dev c', ref: 'f#L4' },
    ])
  })
})

test('ipset list: members with their set and comment', () => {
  expect(parseSets(fixture('node-ipset.txt'), 'f', taken)).toEqual([
    {
      kind: 'set-member',
      ref: 'f#L9',
      ...taken,
      family: 'ip',
      set: 'istio-inpod-probes-v4',
      line: '10.244.1.115 comment "68858106-5a4f-4c5f-8689-9c13d325fd79"',
    },
    {
      kind: 'set-member',
      ref: 'f#L10',
      ...taken,
      family: 'ip',
      set: 'istio-inpod-probes-v4',
      line: '10.244.1.118 comment "926824ad-5147-4a54-91e1-bc3fdfefb228"',
    },
  ])
  expect(parseSets('Name: a\nType: hash:ip\nHeader: family inet6 hashsize 1024\nMembers:\nfd00::1\n', 'f', taken)).toMatchObject([
    { set: 'a', family: 'ip6', line: 'fd00::1' },
  ])
  expect(() => parseSets('10.0.0.1\n', 'f', taken)).toThrow(/f, line 1: not of an ipset/)
})

describe('ss', () => {
  test("an enrolled pod's listeners with their marks", () => {
    const all = parseListeners(fixture('pod-listen.txt'), 'f', taken)
    // The first seven lines of the fixture are of ss -p without -e: they cannot tell marks.
    expect(all.slice(7).map(({ protocol, local, mark }) => [protocol, local, mark])).toEqual([
      ['tcp', '127.0.0.1:15053', 0x539],
      ['tcp', '*:5201', 0],
      ['tcp', '*:8080', 0],
      ['tcp', '[::1]:15053', 0x539],
      ['tcp', '*:15008', 0x539],
      ['tcp', '*:15001', 0x539],
      ['tcp', '*:15006', 0x539],
    ])
    expect(all[7]).toMatchObject({ kind: 'listener', ref: 'f#L8', ...taken })
    expect(parseListeners(fixture('ztunnel-listen.txt'), 'f', taken)).toHaveLength(5)
  })

  test('with the first column, a head line, process names, UDP, and other states', () => {
    const text = `Netid State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess
udp   UNCONN 0      0         127.0.0.53%lo:53        0.0.0.0:*    users:(("a (b) c",pid=7,fd=4)) ino:1 sk:7 fwmark:0x539 cgroup:/ <->
tcp   LISTEN 0      128             [::]:5555            [::]:*    ino:64080 sk:8 cgroup:/ <->
tcp   ESTAB  0      0          10.0.0.1:5555        10.0.0.2:99    ino:64080 sk:8 cgroup:/ <->
`
    expect(parseListeners(text, 'f', taken).map(({ protocol, local, mark }) => [protocol, local, mark])).toEqual([
      ['udp', '127.0.0.53%lo:53', 0x539],
      ['tcp', '[::]:5555', 0],
    ])
  })

  test('UDP alone has no first column', () => {
    expect(parseListeners('UNCONN 0      0      *:5556       *:*    ino:64081\n', 'f', taken)).toMatchObject([
      { protocol: 'udp', local: '*:5556' },
    ])
  })

  test('other text is an error', () => expect(() => parseListeners('ss: not found\n', 'f', taken)).toThrow(/f, line 1: no line of ss/))
})

test('whatever the text is, there are observations or an EvidenceError', () => {
  const parsers = [
    (text: string) => parsePolicyRules(text, 'f', taken, 'ip'),
    (text: string) => parseRoutes(text, 'f', taken, 'ip'),
    (text: string) => parseSets(text, 'f', taken),
    (text: string) => parseListeners(text, 'f', taken),
  ]
  const words = fc.constantFrom('tcp', 'LISTEN', '0', '*:1', '\n', ' ', 'Name:', 'Members:', '1:', 'nexthop ', 'fwmark:0x', 'x')
  fc.assert(
    fc.property(
      fc.constantFrom(...parsers),
      fc.oneof(
        fc.string(),
        fc.array(words).map((w) => w.join(' ')),
      ),
      (parse, text) => {
        try {
          parse(text)
        } catch (error) {
          expect(error).toBeInstanceOf(EvidenceError)
        }
      },
    ),
  )
})
