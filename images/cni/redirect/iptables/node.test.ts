import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { memoryLog, type TestNamespace } from '../../testing/namespace.ts'
import { type NodeNetwork, nodeNetwork } from '../../testing/node-network.ts'
import { chains } from '../../testing/save.ts'
import { runIn, tryIn } from '../command.ts'
import type { NodeProxy, RedirectedPod } from '../redirection.ts'
import { IptablesRedirection } from './node.ts'

const fixtures = new URL('../../fixtures/iptables/', import.meta.url)

let net: NodeNetwork
let mode: IptablesRedirection
let log: ReturnType<typeof memoryLog>
let folder: string
let stateFile: string
beforeEach(async () => {
  net = await nodeNetwork()
  log = memoryLog()
  folder = mkdtempSync(join(tmpdir(), 'everyhop-former-'))
  stateFile = join(folder, 'former.json')
  // The chains by which upstream finds out which iptables the kubelet uses.
  await net.node.run('iptables-nft', '-t', 'mangle', '-N', 'KUBE-IPTABLES-HINT')
  await net.node.run('iptables-nft', '-t', 'mangle', '-N', 'KUBE-KUBELET-CANARY')
  mode = agent()
})
afterEach(async () => {
  rmSync(folder, { recursive: true })
  await net[Symbol.asyncDispose]()
})

const agent = () =>
  new IptablesRedirection({
    host: net.node.fd,
    dnsCapture: true,
    ipv6: true,
    hostAddress: async () => '10.244.1.1',
    formerSettings: stateFile,
    log,
  })

const pods = { sleep: 10, httpbin: 11, late: 12, plain: 20 } as const
const uidOf = (name: string) => `uid-${name}`
const pod = (name: keyof typeof pods, namespace: TestNamespace): RedirectedPod => ({
  uid: uidOf(name),
  namespace: 'demo',
  name,
  netns: namespace.fd,
  ips: [`10.244.1.${pods[name]}`],
  labels: {},
  annotations: {},
})
const proxy = (name: string, last: number, namespace: TestNamespace, dnsCapture = false): NodeProxy => ({
  uid: uidOf(name),
  namespace: 'istio-system',
  name,
  address: `10.244.1.${last}`,
  netns: namespace.fd,
  dnsCapture,
})

/** One file of a golden state, `node-…` or that of the ztunnel that the state is about. */
function golden(state: string, file: string): string {
  const folder = new URL(`${state}/`, fixtures)
  const found = readdirSync(folder)
    .filter((f) => (f.includes('node-') ? f === file : f.endsWith(file)))
    .sort()
  return readFileSync(new URL(found.at(-1)!, folder), 'utf8')
}

/** Rules by table and chain; a golden has both backends one after the other. */
const rulesOf = (text: string) => chains(text.replaceAll(/^\[\d+:\d+\] /gm, ''), /^:(?:ztunnel|KUBE)-/)

/** Policy rules in order; routes of a table are a set. `local` is the kernel's own. */
function routing(text: string): Record<string, string[]> {
  const sections = text.split(/^# ip /m).filter((s) => s !== '')
  return Object.fromEntries(
    sections
      .map((section) => {
        const [title = '', ...lines] = section.split('\n')
        const cleaned = lines.map((l) => l.trim().replaceAll(/\s+/g, ' ')).filter((l) => l !== '' && !l.startsWith('Error: ipv4: FIB'))
        return [title, title === 'rule' ? cleaned : cleaned.sort()] as const
      })
      .filter(([title]) => !title.endsWith('table local') && !title.startsWith('-6')),
  )
}

async function routingNow(namespace: TestNamespace): Promise<string> {
  const parts = [`# ip rule\n${await namespace.run('ip', 'rule')}`]
  for (const table of ['100', '101', '102', 'main'])
    parts.push(`# ip route show table ${table}\n${(await tryIn(namespace.fd, ['ip', 'route', 'show', 'table', table])).stdout}`)
  return parts.join('\n')
}

/** rp_filter and accept_local of each interface; `lo` and the wire are the test's own. */
const settings = (text: string) =>
  [...text.matchAll(/^net\.ipv4\.conf\.(\S+)\.(rp_filter|accept_local) = (\d)$/gm)]
    .filter(([, device]) => !['lo', 'wire'].includes(device!))
    .map(([, device, key, value]) => `${device}.${key}=${value}`)
    .sort()

const members = (text: string) => [...text.matchAll(/^add ztunnel-pods-ips (\S+)/gm)].map(([, address]) => address).sort()

/** What upstream's table 102 lacks: a way that ends, for when its own has gone with the proxy's device. */
const backstop = 'unreachable default metric 4096'

/** The node as it is equals upstream's in that state, but for the lines of the deviation table. @param former settings that an uninstall has put back */
async function expectNode(state: string, backend: 'nft' | 'legacy' = 'nft', former: readonly string[] = []): Promise<void> {
  const [save, now, set, conf] = await Promise.all([
    net.node.run(`iptables-${backend}-save`),
    routingNow(net.node),
    tryIn(net.node.fd, ['ipset', 'save', 'ztunnel-pods-ips']),
    net.node.run('sysctl', '-a', '--pattern', 'net.ipv4.conf.*(rp_filter|accept_local)'),
  ])
  expect(rulesOf(save)).toEqual(rulesOf(golden(state, 'node-iptables-save.txt')))
  const expected = routing(golden(state, 'node-ip-rule-route.txt'))
  if (expected.rule!.length > 3) expected['route show table 102'] = [...expected['route show table 102']!, backstop].sort()
  expect(routing(now)).toEqual(expected)
  expect(members(set.stdout)).toEqual(members(golden(state, 'node-ipset.txt')))
  const wanted = settings(golden(state, 'node-sysctl.txt').split('# all rp_filter')[1] ?? '')
  const keyOf = (setting: string) => setting.split('=')[0]
  expect(settings(conf)).toEqual(wanted.map((s) => former.find((f) => keyOf(f) === keyOf(s)) ?? s))
}

async function expectProxy(state: string, namespace: TestNamespace): Promise<void> {
  expect(rulesOf(await namespace.run('iptables-nft-save'))).toEqual(rulesOf(golden(state, 'iptables-save.txt')))
  expect(routing(await routingNow(namespace))).toEqual(routing(golden(state, 'ip-rule-route.txt')))
  const conf = await namespace.run('sysctl', '-a', '--pattern', 'net.ipv4.conf.*(rp_filter|accept_local)')
  expect(settings(conf)).toEqual(settings(golden(state, 'sysctl.txt').split('# all rp_filter')[1] ?? ''))
}

describe('the node, state by state as upstream left it', () => {
  test('a ztunnel, pods by agent and plugin, removal, opt-out and opt-in, another ztunnel, none, a new one, uninstall', async () => {
    const zt = await net.addPod('ztunnel', 2)
    const sleep = await net.addPod('sleep', 10)
    const httpbin = await net.addPod('httpbin', 11)
    await net.addPod('plain', 20)
    const former = settings(await net.node.run('sysctl', '-a', '--pattern', 'net.ipv4.conf.*(rp_filter|accept_local)'))
    await mode.setupHost()
    await mode.activate(proxy('ztunnel', 2, zt))
    await expectNode('02-ztunnel-active')
    await expectProxy('02-ztunnel-active', zt)

    await mode.addRunningPod(pod('sleep', sleep))
    await mode.addRunningPod(pod('httpbin', httpbin))
    await expectNode('03-two-pods-enrolled')

    const late = await net.addPod('late', 12)
    await mode.addPod(pod('late', late))
    await expectNode('04-plugin-added-third-pod')

    await net.removePod('httpbin')
    await mode.removePod(pod('httpbin', httpbin))
    await expectNode('06-pod-removed')

    for (const [name, namespace] of [
      ['sleep', sleep],
      ['late', late],
    ] as const) {
      await mode.stopCapture(pod(name, namespace))
      await mode.removePod(pod(name, namespace))
    }
    await expectNode('07-namespace-opt-out')
    await mode.addRunningPod(pod('sleep', sleep))
    await mode.addRunningPod(pod('late', late))
    await expectNode('08-namespace-opt-in-again')

    // What the node has learnt of the first one's ends of the tunnels leads no packet to the second.
    const learnt = '02:00:00:00:00:99'
    const ends = [
      ['192.168.126.2', 'istioin'],
      ['192.168.127.2', 'istioout'],
    ] as const
    for (const [end, dev] of ends) await net.node.run('ip', 'neigh', 'replace', end, 'lladdr', learnt, 'dev', dev, 'nud', 'reachable')
    expect((await net.node.run('ip', 'neigh')).split(learnt)).toHaveLength(3)
    const zt2 = await net.addPod('ztunnel2', 3)
    await mode.activate(proxy('ztunnel2', 3, zt2, true))
    expect(await net.node.run('ip', 'neigh')).not.toContain(learnt)
    await expectNode('09-second-ztunnel-dns-capture')
    await expectProxy('09-second-ztunnel-dns-capture', zt2)
    await net.removePod('ztunnel')
    await expectNode('10-first-ztunnel-deleted')
    await expectNode('11-no-ztunnel')
    await net.removePod('ztunnel2')
    await expectNode('12-no-ztunnel-netns-gone')

    const zt3 = await net.addPod('ztunnel3', 4)
    await mode.activate(proxy('ztunnel3', 4, zt3))
    await expectNode('13-new-ztunnel')
    await expectProxy('13-new-ztunnel', zt3)

    // An agent that was killed, and one that takes over.
    const next = agent()
    await next.setupHost()
    await next.reconcileHost([pod('sleep', sleep), pod('late', late)], true)
    await next.activate(proxy('ztunnel3', 4, zt3))
    await expectNode('17-agent-restarted-after-sigkill')
    await next.teardownHost()
    await expectNode('14-agent-sigterm', 'nft', [...former, 'veth-ztunnel3.accept_local=0'])
    expect(existsSync(stateFile)).toBe(false)
  }, 60_000)

  test('where the kubelet uses iptables-legacy, with DNS capture', async () => {
    await net.node.run('iptables-nft', '-t', 'mangle', '-F')
    for (const chain of ['KUBE-IPTABLES-HINT', 'KUBE-KUBELET-CANARY']) await net.node.run('iptables-nft', '-t', 'mangle', '-X', chain)
    // Upstream's node as it was, and an overlay network's tunnel on the port that GENEVE has.
    await runIn(net.node.fd, ['iptables-legacy-restore'], golden('legacy', 'before-node-iptables-save.txt'))
    await net.node.run('ip', 'link', 'add', 'name', 'genev_sys_6081', 'type', 'vxlan', 'external', 'dstport', '6081')
    const zt = await net.addPod('ztunnel', 2)
    const sleep = await net.addPod('sleep', 10)
    const httpbin = await net.addPod('httpbin', 11)
    await net.addPod('plain', 20)
    await mode.setupHost()
    await mode.activate(proxy('ztunnel', 2, zt, true))
    await mode.addRunningPod(pod('sleep', sleep))
    await mode.addRunningPod(pod('httpbin', httpbin))
    await expectNode('legacy', 'legacy')
    await mode.teardownHost()
    expect(rulesOf(await net.node.run('iptables-legacy-save'))).toEqual(rulesOf(golden('legacy', 'before-node-iptables-save.txt')))
    expect(await net.node.run('iptables-nft-save')).not.toContain('ztunnel')
    expect(await net.node.run('ip', '-br', 'link', 'show', 'type', 'vxlan')).toMatch(/^genev_sys_6081/)
  })
})

describe('what cannot be captured', () => {
  test('a pod before any ztunnel was ready, one with IPv6, one without a route of its own: said, and nothing half made', async () => {
    const sleep = await net.addPod('sleep', 10)
    await mode.setupHost()
    await expect(mode.addPod(pod('sleep', sleep))).rejects.toThrow(
      'pod demo/sleep cannot be captured yet: no ztunnel has been ready on this node',
    )
    const zt = await net.addPod('ztunnel', 2)
    await mode.activate(proxy('ztunnel', 2, zt))
    await expect(mode.addPod({ ...pod('sleep', sleep), ips: ['10.244.1.10', 'fd00::a'] })).rejects.toThrow(
      'pod demo/sleep has the address fd00::a: this mode captures IPv4 only',
    )
    await net.node.run('ip', 'route', 'del', '10.244.1.10')
    await expect(mode.addRunningPod(pod('sleep', sleep))).rejects.toThrow(/the node has no route for 10\.244\.1\.10 alone.*not a bridge/)
    expect(members((await tryIn(net.node.fd, ['ipset', 'save', 'ztunnel-pods-ips'])).stdout)).toEqual([])
    expect((await net.node.run('ip', 'route', 'show', 'table', '100')).trim()).toBe('10.244.1.2 dev veth-ztunnel scope link')
  })

  test('a ztunnel without a route of its own: the node stays as it is', async () => {
    const zt = await net.addPod('ztunnel', 2)
    await net.node.run('ip', 'route', 'del', '10.244.1.2')
    await mode.setupHost()
    const before = await net.node.run('iptables-nft-save')
    await expect(mode.activate(proxy('ztunnel', 2, zt))).rejects.toThrow(
      /ztunnel istio-system\/ztunnel cannot be reached by a device of its own/,
    )
    expect(await net.node.run('iptables-nft-save')).toBe(before)
    expect(await net.node.run('ip', '-br', 'link', 'show', 'type', 'vxlan')).toBe('')
    expect(await net.node.run('ip', 'rule')).not.toMatch(/^10[0-3]:/m)
  })
})

test('an uninstall while the node is being joined leaves nothing, and nothing is made after it', async () => {
  const zt = await net.addPod('ztunnel', 2)
  const sleep = await net.addPod('sleep', 10)
  await mode.setupHost()
  const state = async () => ({
    rules: rulesOf(await net.node.run('iptables-nft-save')),
    routing: routing(await routingNow(net.node)),
    settings: settings(await net.node.run('sysctl', '-a', '--pattern', 'net.ipv4.conf.*(rp_filter|accept_local)')),
    links: await net.node.run('ip', '-br', 'link', 'show', 'type', 'vxlan'),
  })
  const before = await state()
  const joining = mode.activate(proxy('ztunnel', 2, zt))
  await mode.teardownHost()
  await joining
  await expect(mode.addPod(pod('sleep', sleep))).rejects.toThrow('the mesh is being taken off this node')
  expect(await state()).toEqual(before)
})

describe('what other agents get wrong', () => {
  test('a late removal of a pod whose address another one has by now takes nothing from that one', async () => {
    const zt = await net.addPod('ztunnel', 2)
    const sleep = await net.addPod('sleep', 10)
    await mode.setupHost()
    await mode.activate(proxy('ztunnel', 2, zt))
    await mode.addRunningPod({ ...pod('sleep', sleep), uid: 'old' })
    await mode.addPod({ ...pod('sleep', sleep), uid: 'new' })
    await mode.removePod({ ...pod('sleep', sleep), uid: 'old' })
    expect(members((await tryIn(net.node.fd, ['ipset', 'save', 'ztunnel-pods-ips'])).stdout)).toEqual(['10.244.1.10'])
    expect(await net.node.run('ip', 'route', 'show', 'table', '100')).toContain('10.244.1.10 via 192.168.126.2 dev istioin')
  })

  test("an uninstall takes only the mode's own: others' routes in its tables and rules at its priorities stay", async () => {
    const zt = await net.addPod('ztunnel', 2)
    await net.node.run('ip', 'route', 'add', '10.99.0.0/16', 'via', '172.18.0.9', 'table', '101')
    await net.node.run('ip', 'rule', 'add', 'priority', '103', 'from', '10.98.0.0/16', 'lookup', 'main')
    await mode.setupHost()
    await mode.activate(proxy('ztunnel', 2, zt))
    await mode.teardownHost()
    expect((await net.node.run('ip', 'route', 'show', 'table', '101')).trim()).toBe('10.99.0.0/16 via 172.18.0.9 dev eth0')
    expect(await net.node.run('ip', 'rule')).toMatch(/^103:\s+from 10\.98\.0\.0\/16 lookup main$/m)
  })
})
