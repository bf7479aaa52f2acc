import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { redirectRules } from '../inpod/redirect-rules.ts'
import { hostRules, isHostChain, isPodChain } from '../inpod/rules.ts'
import { canonical, compare, parseSave, removeText, replaceText, unhookText } from './ruleset.ts'

const golden = (name: string) => readFileSync(new URL(`../../fixtures/inpod/${name}`, import.meta.url), 'utf8')
const options = { dnsCapture: true, bypassInbound: false, rerouteInterfaces: [] }
const v4 = redirectRules({ ...options, family: 'v4', probeAddress: '169.254.7.127' })
const v6 = redirectRules({ ...options, family: 'v6', probeAddress: 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff' })

describe('compare', () => {
  test.each([
    ['v4', 'pod-iptables-save.txt', v4],
    ['v6', 'pod-ip6tables-save.txt', v6],
  ] as const)("upstream's dump is equal to our rules: %s", (_, file, rules) => {
    expect(compare(parseSave(golden(file)), rules, isPodChain)).toEqual({ residue: true, missing: [], equal: true })
  })

  const altered = (from: string, to: string) => {
    const text = golden('pod-iptables-save.txt')
    expect(text).toContain(from)
    return compare(parseSave(text.replace(from, to)), v4, isPodChain)
  }

  test.each([
    ['a mark', '--mark 0x111/0xfff -j ACCEPT', '--mark 0x112/0xfff -j ACCEPT', 1],
    ['a port', '--to-ports 15001', '--to-ports 15002', 1],
    ['a missing rule', '-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -j ACCEPT\n', '', 1],
    ['a missing jump', '-A OUTPUT -j ISTIO_OUTPUT\n', '', 1],
    ['a jump twice', '-A OUTPUT -j ISTIO_OUTPUT\n', '-A OUTPUT -j ISTIO_OUTPUT\n-A OUTPUT -j ISTIO_OUTPUT\n', 0],
    ['a foreign ISTIO chain', ':ISTIO_PRERT - [0:0]\n', ':ISTIO_PRERT - [0:0]\n:ISTIO_INBOUND - [0:0]\n', 0],
    [
      'another order',
      '-A ISTIO_OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT\n-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -j ACCEPT\n',
      '-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -j ACCEPT\n-A ISTIO_OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT\n',
      0,
    ],
  ])('notices %s', (_, from, to, missing) => {
    const found = altered(from, to)
    expect(found.equal).toBe(false)
    expect(found.missing).toHaveLength(missing)
  })

  test('rules of others, and options in another order, are not ours to mind', () => {
    expect(altered(':OUTPUT ACCEPT [0:0]\n', ':OUTPUT ACCEPT [0:0]\n:KUBE-X - [0:0]\n').equal).toBe(true)
    expect(altered('-A OUTPUT -j ISTIO_OUTPUT\n', '-A OUTPUT -d 10.9.9.9/32 -j ACCEPT\n-A OUTPUT -j ISTIO_OUTPUT\n').equal).toBe(true)
    expect(
      altered('-p udp -m mark --mark 0x539/0xfff -m udp --dport 53', '-p udp -m udp --dport 53 -m mark --mark 0x539/0xfff').equal,
    ).toBe(true)
  })

  test('an empty namespace has no residue and misses everything', () => {
    expect(compare(parseSave(''), v4, isPodChain)).toEqual({ residue: false, missing: v4, equal: false })
  })

  test('on the node the jump must be first', () => {
    const rules = hostRules('istio-inpod-probes-v4', '169.254.7.127', true)
    const save = (first: string, second: string) =>
      parseSave(`*nat\n:POSTROUTING ACCEPT [0:0]\n:ISTIO_POSTRT - [0:0]\n${first}\n${second}\n-A ISTIO_POSTRT ${rules[1]!.spec}\nCOMMIT\n`)
    const [ours, theirs] = ['-A POSTROUTING -j ISTIO_POSTRT', '-A POSTROUTING -j KUBE-POSTROUTING']
    expect(compare(save(ours, theirs), rules, isHostChain).equal).toBe(true)
    expect(compare(save(theirs, ours), rules, isHostChain).equal).toBe(false)
  })
})

test('negation belongs to its option', () => {
  expect(canonical('! -d 1.2.3.4/32 -p tcp')).not.toBe(canonical('-d 1.2.3.4/32 ! -p tcp'))
  expect(canonical('-m mark ! --mark 0x1/0xf')).not.toBe(canonical('-m mark --mark 0x1/0xf'))
})

test('the text for a fresh pod makes each chain before it is jumped to, tables in order', () => {
  const text = replaceText(parseSave(''), v4, isPodChain)
  expect(text.match(/^\*.*/gm)).toEqual(['*mangle', '*nat', '*raw'])
  expect(text).toMatch(/^\*mangle\n:ISTIO_OUTPUT - \[0:0\]\n:ISTIO_PRERT - \[0:0\]\n-A PREROUTING/)
  expect(text).not.toMatch(/^-[DFX] /m)
})

test('removal takes jumps, then contents, then chains; nothing to remove is no text', () => {
  const text = removeText(parseSave(golden('pod-iptables-save.txt')), isPodChain)
  const raw = text.slice(text.indexOf('*raw'))
  expect(raw).toBe(
    '*raw\n-D PREROUTING -j ISTIO_PRERT\n-D OUTPUT -j ISTIO_OUTPUT\n-F ISTIO_OUTPUT\n-F ISTIO_PRERT\n-X ISTIO_OUTPUT\n-X ISTIO_PRERT\nCOMMIT\n',
  )
  expect(removeText(parseSave(''), isPodChain)).toBe('')
})

test('capture stops by the jumps of one table; no jumps there is no text', () => {
  const saved = parseSave(golden('pod-iptables-save.txt'))
  expect(unhookText(saved, 'nat', isPodChain)).toBe('*nat\n-D PREROUTING -j ISTIO_PRERT\n-D OUTPUT -j ISTIO_OUTPUT\nCOMMIT\n')
  expect(unhookText(saved, 'filter', isPodChain)).toBe('')
  expect(unhookText(parseSave(''), 'nat', isPodChain)).toBe('')
})

test.each([['-A X -j Y\n'], ['*nat\nnonsense\n'], ['*nat\n-A UNKNOWN -j X\n']])(
  'a dump that is none is refused with its line: %j',
  (text) => {
    expect(() => parseSave(text)).toThrow(/iptables-save line \d+ not understood/)
  },
)
