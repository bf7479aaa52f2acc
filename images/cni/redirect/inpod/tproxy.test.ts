import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { memoryLog, type TestNamespace, testNamespace } from '../../testing/namespace.ts'
import { chains } from '../../testing/save.ts'
import { tryIn } from '../command.ts'
import { modeRelease } from '../modes.ts'
import type { RedirectedPod } from '../redirection.ts'

const golden = (name: string) => readFileSync(new URL(`../../fixtures/inpod-1.21/${name}`, import.meta.url), 'utf8')

let node: TestNamespace
let pod: TestNamespace
let log: ReturnType<typeof memoryLog>
beforeEach(async () => {
  ;[node, pod] = await Promise.all([testNamespace(), testNamespace()])
  log = memoryLog()
})
afterEach(() => Promise.all([node.close(), pod.close()]))

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
const inpod = (release: string, more: { dnsCapture?: boolean; forceBackend?: string } = {}) =>
  modeRelease('inpod', release).make({ host: node.fd, dnsCapture: true, ipv6: true, log, ...more })

const routing = async () => {
  const show = async (...argv: string[]) => (await tryIn(pod.fd, ['ip', ...argv])).stdout.trimEnd().split('\n')
  const tidy = (lines: string[]) => lines.map((l) => l.trim()).filter(Boolean)
  return {
    rules: tidy(await show('-4', 'rule')),
    routes: tidy(await show('-4', 'route', 'show', 'table', '100')),
    rules6: tidy(await show('-6', 'rule')),
    routes6: tidy(await show('-6', 'route', 'show', 'table', '100')),
  }
}

describe('a pod enrolled as in release 1.21', () => {
  test.for(['nft', 'legacy'])('has the rules of the fact sheet in order, by iptables-%s, and nothing of IPv6', async (backend) => {
    await inpod('1.21', { forceBackend: backend }).addPod(about())
    expect(chains(await pod.run(`iptables-${backend}-save`))).toEqual(chains(golden('pod-iptables-save.txt')))
    expect(chains(await pod.run(`ip6tables-${backend}-save`))).toEqual({})
    const [v4 = '', v6 = ''] = golden('pod-ip-rule-route.txt').split('# -6\n')
    const [rules = '', routes = ''] = v4.split('# table 100\n')
    const lines = (text: string) => text.trim().split('\n')
    expect(await routing()).toEqual({ rules: lines(rules), routes: lines(routes), rules6: lines(v6), routes6: [] })
  })

  test('without DNS capture lacks only the line for DNS', async () => {
    await inpod('1.21', { dnsCapture: false }).addPod(about())
    const expected = chains(golden('pod-iptables-save.txt'))
    const withDns = expected['nat ISTIO_OUTPUT']!
    expected['nat ISTIO_OUTPUT'] = withDns.filter((rule) => !rule.includes('15053'))
    expect(expected['nat ISTIO_OUTPUT']).toHaveLength(withDns.length - 1)
    expect(chains(await pod.run('iptables-nft-save'))).toEqual(expected)
  })

  test('does not differ by annotations, which came later', async () => {
    const annotations = { 'ambient.istio.io/dns-capture': 'false', 'ambient.istio.io/bypass-inbound-capture': 'true' }
    await inpod('1.21').addPod(about({ annotations }))
    expect(chains(await pod.run('iptables-nft-save'))).toEqual(chains(golden('pod-iptables-save.txt')))
  })

  test('that has an IPv6 address is refused: it would not be captured', async () => {
    await expect(inpod('1.21').addPod(about({ ips: ['10.244.1.118', 'fd00::5'] }))).rejects.toThrow(
      /pod demo\/httpbin-worker has the address fd00::5, but IPv6 cannot be captured.*MESH_RELEASE/,
    )
    expect(chains(await pod.run('iptables-nft-save'))).toEqual({})
  })

  test('is verified, mended, and let go without a trace', async () => {
    const redirection = inpod('1.21')
    await redirection.addPod(about())
    expect(await redirection.reconcilePod(about())).toBe('intact')
    // The two rules that inbound plaintext depends on, in the wrong order.
    const established = '-p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT'
    await pod.run(
      'sh',
      '-c',
      `iptables-nft -t mangle -D ISTIO_PRERT ${established} && iptables-nft -t mangle -A ISTIO_PRERT ${established}`,
    )
    expect(await redirection.reconcilePod(about())).toBe('repaired')
    expect(chains(await pod.run('iptables-nft-save'))).toEqual(chains(golden('pod-iptables-save.txt')))
    await redirection.removePod(about(), true)
    expect(chains(await pod.run('iptables-nft-save'))).toEqual({})
    expect((await routing()).rules).toHaveLength(3)
  })
})

test.for([
  ['today', '1.21'],
  ['1.21', 'today'],
])(
  'an agent of another release takes a pod and the node over, from %s to %s: as if it had been there from the start',
  async ([first = '', second = '']) => {
    const state = async () => ({
      pod: chains(await pod.run('iptables-nft-save')),
      pod6: chains(await pod.run('ip6tables-nft-save')),
      node: chains(await node.run('iptables-nft-save')),
      node6: chains(await node.run('ip6tables-nft-save')),
      sets: (await node.run('ipset', 'save')).split('\n').map((line) => line.replace(/ bucketsize .*| initval .*/, '')),
      routing: await routing(),
    })
    const install = async (release: string) => {
      const redirection = inpod(release)
      await redirection.setupHost()
      await redirection.reconcilePod(about())
      await redirection.reconcileHost([about()], true)
      return redirection
    }
    const alone = await install(second)
    const expected = await state()
    await alone.removePod(about(), true)
    await alone.teardownHost()

    await install(first)
    expect(await state()).not.toEqual(expected)
    await install(second)
    expect(await state()).toEqual(expected)
  },
)

test("the node of release 1.21: one set, and the jump behind others' rules", async () => {
  await node.run('iptables-nft', '-t', 'nat', '-A', 'POSTROUTING', '-d', '10.9.9.9/32', '-j', 'ACCEPT')
  const redirection = inpod('1.21')
  await redirection.setupHost()
  await redirection.podServed(about())
  await redirection.podServed(about({ uid: '68858106-5a4f-4c5f-8689-9c13d325fd79', ips: ['10.244.1.115'] }))
  const expected = golden('node-host-rules-ipset.txt').split('\n')
  const nat = chains(await node.run('iptables-nft-save', '-t', 'nat'))
  expect(nat['nat POSTROUTING']).toEqual(['-d 10.9.9.9/32 -j ACCEPT', '-j ISTIO_POSTRT'])
  expect(nat['nat ISTIO_POSTRT']!.map((rule) => `-A ISTIO_POSTRT ${rule}`)).toEqual(expected.filter((l) => l.startsWith('-A ISTIO_POSTRT')))
  expect(chains(await node.run('ip6tables-nft-save'))).toEqual({})
  const like = (re: RegExp, lines: string[]) => lines.filter((l) => re.test(l)).map((l) => l.replace(/ bucketsize .*$/, ''))
  const list = (await node.run('ipset', 'list')).split('\n')
  expect(like(/^(Name|Type|Header|References)/, list)).toEqual(like(/^(Name|Type|Header|References)/, expected))
  expect(like(/^10\./, list).sort()).toEqual(like(/^10\./, expected).sort())
  await redirection.teardownHost()
  expect(await node.run('ipset', 'list', '-n')).toBe('')
  expect(chains(await node.run('iptables-nft-save'))).toEqual({ 'nat POSTROUTING': ['-d 10.9.9.9/32 -j ACCEPT'] })
})

test('a release that a mode has not is said with those that it has', () => {
  expect(() => modeRelease('inpod', '1.20')).toThrow('MESH_RELEASE is "1.20": mode inpod has today, 1.21')
  expect(() => modeRelease('sidecar', 'today')).toThrow('AMBIENT_REDIRECT_MODE is "sidecar": expected iptables, inpod')
})
