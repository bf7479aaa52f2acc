import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { memoryLog, type TestNamespace, testNamespace } from '../../testing/namespace.ts'
import { chains } from '../../testing/save.ts'
import { tryIn } from '../command.ts'
import type { RedirectedPod } from '../redirection.ts'
import { flushConntrack } from './conntrack.ts'
import { InpodRedirection } from './inpod.ts'
import { inpodReleases } from './releases.ts'

const golden = (name: string) => readFileSync(new URL(`../../fixtures/inpod/${name}`, import.meta.url), 'utf8')

let node: TestNamespace
let pod: TestNamespace
let log: ReturnType<typeof memoryLog>
beforeEach(async () => {
  ;[node, pod] = await Promise.all([testNamespace(), testNamespace()])
  log = memoryLog()
})
afterEach(async () => {
  await Promise.all([node.close(), pod.close()])
})

const uid = '926824ad-5147-4a54-91e1-bc3fdfefb228'
const about = (more: Partial<RedirectedPod> = {}): RedirectedPod => ({
  uid,
  namespace: 'demo',
  name: 'httpbin-worker',
  netns: pod.fd,
  ips: ['10.244.1.118'],
  labels: {},
  annotations: {},
  ...more,
})
const inpod = (more: { dnsCapture?: boolean; ipv6?: boolean } = {}) =>
  new InpodRedirection({ host: node.fd, dnsCapture: true, ipv6: true, release: inpodReleases.today, log, ...more })

async function kernelState() {
  const [v4, v6, rule4, rule6, route4, route6] = await Promise.all([
    pod.run('iptables-nft-save'),
    pod.run('ip6tables-nft-save'),
    pod.run('ip', '-4', 'rule'),
    pod.run('ip', '-6', 'rule'),
    tryIn(pod.fd, ['ip', '-4', 'route', 'show', 'table', '100']),
    tryIn(pod.fd, ['ip', '-6', 'route', 'show', 'table', '100']),
  ])
  return { v4: chains(v4), v6: chains(v6), rule4, rule6, route4: route4.stdout.trim(), route6: route6.stdout.trim() }
}

const trimmed = (text: string) => text.split('\n').map((l) => l.trim())

describe('an enrolled pod', () => {
  test('has the golden rules, policy rules and routes in both families', async () => {
    await inpod().addPod(about())
    const state = await kernelState()
    expect(state.v4).toEqual(chains(golden('pod-iptables-save.txt')))
    expect(state.v6).toEqual(chains(golden('pod-ip6tables-save.txt')))
    const [v4 = '', v6 = ''] = golden('pod-ip-rule-route.txt').split('# -6\n')
    const [rules4 = '', route4 = ''] = v4.split('# table 100\n')
    expect(trimmed(state.rule4)).toEqual(trimmed(rules4.trim()))
    expect(state.route4).toBe(route4.trim())
    const lines6 = trimmed(v6.trim())
    expect(trimmed(state.rule6)).toEqual(lines6.slice(0, -1))
    expect(state.route6).toBe(lines6.at(-1))
  })

  test('without DNS capture has no raw table and no DNS rules', async () => {
    await inpod({ dnsCapture: false }).addPod(about())
    const { v4 } = await kernelState()
    const expected = Object.fromEntries(
      Object.entries(chains(golden('pod-iptables-save.txt')))
        .filter(([key]) => !key.startsWith('raw '))
        .map(([key, rules]) => [key, rules.filter((r) => !r.includes('--to-ports 15053'))]),
    )
    expect(expected['nat ISTIO_OUTPUT']).toHaveLength(4)
    expect(v4).toEqual(expected)
  })

  test('may differ by annotation: own DNS setting, no inbound capture, rerouted interfaces', async () => {
    const annotations = {
      'ambient.istio.io/dns-capture': 'false',
      'ambient.istio.io/bypass-inbound-capture': 'true',
      'istio.io/reroute-virtual-interfaces': 'net1, net2,-j ACCEPT',
    }
    await inpod().addPod(about({ annotations }))
    const { v4 } = await kernelState()
    expect(v4['nat ISTIO_PRERT']).toEqual([
      '-i net1 -p tcp -j REDIRECT --to-ports 15001',
      '-i net1 -p tcp -j RETURN',
      '-i net2 -p tcp -j REDIRECT --to-ports 15001',
      '-i net2 -p tcp -j RETURN',
    ])
    expect(Object.keys(v4).some((k) => k.startsWith('raw '))).toBe(false)
    expect(v4['nat ISTIO_OUTPUT']).toHaveLength(4)
  })

  test('without IPv6 on lo gets rules but no IPv6 routing, and no failure', async () => {
    await pod.run('sysctl', '-qw', 'net.ipv6.conf.lo.disable_ipv6=1')
    await inpod().addPod(about())
    const { rule6, route6, v6 } = await kernelState()
    expect(rule6).not.toContain('0x111')
    expect(route6).toBe('')
    expect(v6).toEqual(chains(golden('pod-ip6tables-save.txt')))
  })

  test('added again, or verified, is left alone; what was altered is put right', async () => {
    const redirection = inpod()
    await redirection.addPod(about())
    const before = await kernelState()
    expect(await redirection.reconcilePod(about())).toBe('intact')
    const damage: string[][] = [
      ['iptables-nft', '-t', 'nat', '-D', 'ISTIO_OUTPUT', '3'],
      ['iptables-nft', '-t', 'nat', '-A', 'PREROUTING', '-j', 'ISTIO_PRERT'],
      ['ip6tables-nft', '-t', 'mangle', '-F', 'ISTIO_PRERT'],
      ['iptables-nft', '-t', 'nat', '-N', 'ISTIO_OLD'],
      ['iptables-nft', '-t', 'nat', '-I', 'OUTPUT', '-j', 'ISTIO_OLD'],
      ['ip', 'rule', 'del', 'pref', '32764'],
    ]
    for (const argv of damage) await pod.run(...argv)
    expect(await redirection.reconcilePod(about())).toBe('repaired')
    expect(await kernelState()).toEqual(before)
    expect(await redirection.reconcilePod(about())).toBe('intact')
  })

  test('can be let go and enrolled again, twenty times, also when parts were deleted by hand', async () => {
    const redirection = inpod()
    const fresh = await kernelState()
    await redirection.addPod(about())
    const enrolled = await kernelState()
    for (let round = 0; round < 20; round++) {
      if (round === 3) await pod.run('ip', 'rule', 'del', 'pref', '32764')
      if (round === 4) await pod.run('ip', 'route', 'flush', 'table', '100')
      if (round === 5) await pod.run('iptables-nft', '-t', 'nat', '-D', 'OUTPUT', '-j', 'ISTIO_OUTPUT')
      await redirection.removePod(about(), true)
      const free = await kernelState()
      expect(free).toEqual(fresh)
      await redirection.addPod(about())
    }
    expect(await kernelState()).toEqual(enrolled)
  })

  test('is seen as marked from the first step of its enrolment to the last of its leaving', async () => {
    const redirection = inpod()
    expect(await redirection.isMarked(pod.fd)).toBe(false)
    await pod.run('ip', '-4', 'rule', 'add', 'fwmark', '0x111/0xfff', 'pref', '32764', 'lookup', '100')
    expect(await redirection.isMarked(pod.fd)).toBe(true)
    await redirection.addPod(about())
    expect(await redirection.isMarked(pod.fd)).toBe(true)
    await redirection.removePod(about(), true)
    expect(await redirection.isMarked(pod.fd)).toBe(false)
  })

  test('rules of others in its namespace stay', async () => {
    await pod.run('iptables-nft', '-t', 'nat', '-A', 'OUTPUT', '-d', '10.9.9.9/32', '-j', 'ACCEPT')
    const redirection = inpod()
    await redirection.addPod(about())
    await redirection.removePod(about(), true)
    const { v4 } = await kernelState()
    expect(v4['nat OUTPUT']).toEqual(['-d 10.9.9.9/32 -j ACCEPT'])
  })
})

test('a connection that conntrack knew before is forgotten at enrolment', async () => {
  await pod.run('iptables-nft', '-A', 'OUTPUT', '-m', 'conntrack', '--ctstate', 'NEW', '-j', 'ACCEPT')
  await pod.run('bash', '-c', 'echo x > /dev/udp/127.0.0.1/9')
  expect(await pod.run('conntrack', '-L')).toContain('dport=9')
  flushConntrack(pod.fd)
  expect(await pod.run('conntrack', '-L')).toBe('')
})

test('fifty pods at once', async () => {
  const namespaces = await Promise.all(Array.from({ length: 50 }, testNamespace))
  try {
    const redirection = inpod()
    await redirection.setupHost()
    await Promise.all(
      namespaces.map(async (ns, i) => {
        const one = about({ netns: ns.fd, uid: `${uid.slice(0, -2)}${10 + i}`, ips: [`10.244.2.${i + 1}`] })
        await redirection.addPod(one)
        await redirection.podServed(one)
      }),
    )
    const states = await Promise.all(namespaces.map(async (ns) => chains(await ns.run('iptables-nft-save'))))
    for (const state of states) expect(state).toEqual(chains(golden('pod-iptables-save.txt')))
    expect((await node.run('ipset', 'save', 'istio-inpod-probes-v4')).match(/^add /gm)).toHaveLength(50)
  } finally {
    await Promise.all(namespaces.map((ns) => ns.close()))
  }
}, 60_000)

test('a namespace that is none is a clear error', async () => {
  await expect(inpod().addPod(about({ netns: 9999 }))).rejects.toThrow(/errno 9 .*9999|network namespace \/proc\/\d+\/fd\/9999/)
})

describe('the node', () => {
  const goldenNode = golden('node-host-rules-ipset.txt').split('\n')

  test('has the golden chain, jump first, and sets; a second agent start changes nothing', async () => {
    await node.run('iptables-nft', '-t', 'nat', '-A', 'POSTROUTING', '-d', '10.9.9.9/32', '-j', 'ACCEPT')
    await inpod().setupHost()
    const redirection = inpod()
    await redirection.setupHost()
    await redirection.podServed(about())
    const second = about({ uid: '68858106-5a4f-4c5f-8689-9c13d325fd79', ips: ['10.244.1.115', 'fd00::5'] })
    await redirection.podServed(second)
    const v4 = chains(await node.run('iptables-nft-save', '-t', 'nat'))
    expect(v4['nat ISTIO_POSTRT']).toEqual(
      goldenNode.filter((l) => l.startsWith('-A ISTIO_POSTRT')).map((l) => l.replace('-A ISTIO_POSTRT ', '')),
    )
    expect(v4['nat POSTROUTING']).toEqual(['-j ISTIO_POSTRT', '-d 10.9.9.9/32 -j ACCEPT'])
    const v6 = chains(await node.run('ip6tables-nft-save', '-t', 'nat'))
    expect(v6['nat ISTIO_POSTRT']).toEqual([
      '-p tcp -m owner --socket-exists -m set --match-set istio-inpod-probes-v6 dst -j SNAT --to-source fd16:9254:7127:1337:ffff:ffff:ffff:ffff',
    ])
    const list = (await node.run('ipset', 'list')).split('\n')
    const like = (re: RegExp, lines: string[]) => lines.filter((l) => re.test(l)).map((l) => l.replace(/ bucketsize .*$/, ''))
    expect(like(/^Header/, list)).toEqual(like(/^Header/, goldenNode))
    expect(like(/^(Name|Type|References)/, list)).toEqual(like(/^(Name|Type|References)/, goldenNode))
    expect(like(/^10\./, list).sort()).toEqual(like(/^10\./, goldenNode).sort())
    expect(list.some((l) => l.startsWith(`fd00::5 comment "${second.uid}"`))).toBe(true)
  })

  test('a set entry is overwritten by the next owner of the address, and then leaves with that one only', async () => {
    const redirection = inpod()
    await redirection.setupHost()
    await redirection.podServed(about({ uid: 'old' }))
    await redirection.podServed(about({ uid: 'new' }))
    await redirection.removePod(about({ uid: 'old', ips: [] }), false)
    expect(await node.run('ipset', 'save')).toContain('add istio-inpod-probes-v4 10.244.1.118 comment "new"')
    await redirection.removePod(about({ uid: 'new', ips: [] }), false)
    expect(await node.run('ipset', 'save')).not.toContain('add ')
  })

  test('entries of a former agent: kept while pods without address are around, pruned when all are known', async () => {
    const first = inpod()
    await first.setupHost()
    await first.podServed(about({ uid: 'gone', ips: ['10.244.1.9'] }))
    const second = inpod()
    await second.setupHost()
    await second.reconcileHost([about()], false)
    expect(await node.run('ipset', 'save')).toContain('10.244.1.9')
    await second.reconcileHost([about()], true)
    const save = await node.run('ipset', 'save')
    expect(save).not.toContain('10.244.1.9')
    expect(save).toContain('10.244.1.118')
  })

  test('teardown leaves what others made, and works twice', async () => {
    await node.run('iptables-nft', '-t', 'nat', '-A', 'POSTROUTING', '-d', '10.9.9.9/32', '-j', 'ACCEPT')
    const redirection = inpod()
    await redirection.setupHost()
    await redirection.podServed(about())
    await redirection.teardownHost()
    await redirection.teardownHost()
    expect(await node.run('ipset', 'list', '-n')).toBe('')
    const nat = chains(await node.run('iptables-nft-save', '-t', 'nat'))
    expect(nat).toEqual({ 'nat POSTROUTING': ['-d 10.9.9.9/32 -j ACCEPT'] })
  })

  test('IPv6 off by setting is said, and no IPv6 rules are made', async () => {
    await inpod({ ipv6: false }).addPod(about({ ips: ['fd00::5'] }))
    expect(log.lines).toContainEqual(expect.stringContaining('IPv6 is switched off'))
    expect(chains(await pod.run('ip6tables-nft-save'))).toEqual({})
  })
})
