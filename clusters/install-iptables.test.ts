import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ApiClient, accessOf } from './api-client.ts'
import type { Cluster } from './cluster.ts'
import { createCluster } from './create.ts'
import { deployApps, installMesh, removeApps, uninstallMesh } from './install.ts'
import type { Pod } from './kubernetes.ts'
import type { ApiCall } from './lab/api-calls.ts'
import { compareNodes, type NodeSnapshot, snapshotNode } from './node-audit.ts'
import { clean } from './registry.ts'
import { parseTopology } from './topology.ts'

const mesh = { mode: 'iptables', release: '1.20' }
const topology = parseTopology(
  `
name: small
nodes: [one]
namespaces: { demo: { labels: { istio.io/dataplane-mode: ambient } }, plain: {} }
pods:
  - { name: httpbin, namespace: demo, node: one, app: httpbin, labels: { app: httpbin, istio.io/dataplane-mode: none } }
  - { name: out, namespace: demo, node: one, app: sleep, annotations: { ambient.istio.io/redirection: disabled } }
  - { name: client, namespace: plain, node: one, app: sleep, labels: { istio.io/dataplane-mode: ambient } }
`,
  'small.yaml',
)

describe.skipIf(process.getuid?.() !== 0)('a mesh in mode iptables (needs root)', () => {
  let scratch: string
  let cluster: Cluster
  let api: ApiClient
  /** The node before there was a mesh. */
  let before: NodeSnapshot
  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'everyhop-install-iptables-'))
    process.env.EVERYHOP_STATE_DIR = join(scratch, 'state')
    cluster = await createCluster('lab', topology)
    api = new ApiClient(accessOf(cluster.kubeconfig))
    // As many distributions have it: the mode changes them.
    await onNode('for f in all default; do echo 1 > /proc/sys/net/ipv4/conf/$f/rp_filter; done')
    before = await snapshotNode(cluster.nodes[0]!)
  }, 120_000)
  afterAll(async () => {
    api?.close()
    await cluster?.[Symbol.asyncDispose]()
    await clean()
    delete process.env.EVERYHOP_STATE_DIR
    rmSync(scratch, { recursive: true, force: true })
  })

  async function onNode(script: string): Promise<string> {
    const child = cluster.nodes[0]!.spawn(['sh', '-ec', script])
    child.stdin?.end()
    const [output] = await Promise.all([text(child.stdout!), once(child, 'close')])
    return output
  }
  const pods = async (namespace: string) => (await api.list(`/api/v1/namespaces/${namespace}/pods`)).items as Pod[]

  test('takes in what its namespace says, but for who is annotated to stay out', { timeout: 120_000 }, async () => {
    await installMesh(cluster, mesh)
    await deployApps(cluster, topology, mesh)
    const redirection = (pod: Pod) => [pod.metadata.name, pod.metadata.annotations?.['ambient.istio.io/redirection']]
    expect(Object.fromEntries((await pods('demo')).map(redirection))).toEqual({ httpbin: 'enabled', out: 'disabled' })
    expect((await pods('plain')).map(redirection)).toEqual([['client', undefined]])
  })

  test('has put on the node what the mode is made of', async () => {
    const there = compareNodes(before, await snapshotNode(cluster.nodes[0]!))
    const added = (kind: string) => there.filter((line) => line.startsWith(`${kind} added: `)).map((line) => line.slice(kind.length + 8))
    const rules = added('rules').flatMap((rule) => /^table ip (mangle|nat|filter) chain (\S+) /.exec(rule)?.slice(1).join(' ') ?? [])
    // Facts geneve-mode 1.4 and 1.5, with DNS capture: so many rules in each chain, and a jump to each chain.
    expect(Object.fromEntries([...Map.groupBy(rules, (chain) => chain)].map(([chain, all]) => [chain, all.length]))).toEqual({
      'mangle ztunnel-PREROUTING': 15,
      'mangle ztunnel-INPUT': 2,
      'mangle ztunnel-FORWARD': 2,
      'mangle ztunnel-OUTPUT': 1,
      'nat ztunnel-PREROUTING': 2,
      'nat ztunnel-POSTROUTING': 1,
      'filter ztunnel-FORWARD': 1,
      ...{ 'mangle PREROUTING': 1, 'mangle INPUT': 1, 'mangle FORWARD': 1, 'mangle OUTPUT': 1, 'mangle POSTROUTING': 1 },
      ...{ 'nat PREROUTING': 1, 'nat POSTROUTING': 1, 'filter FORWARD': 1 },
    })
    expect(added('links')).toEqual(['istioin', 'istioout'])
    expect(added('ipsets')).toEqual(['ztunnel-pods-ips'])
    // 1.6.
    expect(added('policyRules').map((line) => line.replace('\t', ' '))).toEqual([
      '100: from all fwmark 0x200/0x200 goto 32766',
      '101: from all fwmark 0x100/0x100 lookup 101',
      '102: from all fwmark 0x40/0x40 lookup 102',
      '103: from all lookup 100',
    ])
    const [httpbin] = (await pods('demo')).filter((p) => p.metadata.name === 'httpbin')
    expect(added('routes').filter((route) => / table 10[0-2]/.test(route))).toEqual([
      `${httpbin!.status!.podIP} via 192.168.126.2 dev istioin table 100 src 10.244.1.1`,
      'default via 192.168.127.2 dev istioout table 101',
      'unreachable default table 102 metric 4096',
    ])
    // 1.7.
    expect(added('settings')).toEqual(['all', 'default'].map((of) => `/proc/sys/net/ipv4/conf/${of}/rp_filter 0`))
    expect(await onNode('cat /etc/ambient-config/config.json')).toBe('{"ztunnelReady":true,"redirectMode":"iptables"}')
  })

  test('uninstalling it leaves nothing', { timeout: 120_000 }, async () => {
    await uninstallMesh(cluster, mesh)
    expect((await pods('demo')).find((p) => p.metadata.name === 'httpbin')?.status?.phase).toBe('Running')
    await removeApps(cluster, topology)
    expect(compareNodes(before, await snapshotNode(cluster.nodes[0]!))).toEqual([])
  })

  test('a mesh of another mode takes its place, and that takes its again: the node is each time what it is with the one alone', {
    timeout: 240_000,
  }, async () => {
    const inpod = { mode: 'inpod', release: 'today' }
    await installMesh(cluster, mesh)
    const fresh = await snapshotNode(cluster.nodes[0]!)
    await uninstallMesh(cluster, mesh)
    await installMesh(cluster, inpod)
    const other = compareNodes(before, await snapshotNode(cluster.nodes[0]!)).join('\n')
    expect(other).toContain('ISTIO_POSTRT')
    expect(other).not.toMatch(/ztunnel-|istioin|istioout|table 10[0-2]|ambient-config|rp_filter/)
    await uninstallMesh(cluster, inpod)
    expect(compareNodes(before, await snapshotNode(cluster.nodes[0]!))).toEqual([])
    await installMesh(cluster, mesh)
    // Addresses and devices of ztunnel are new ones, and so is what holds a token or the time.
    const stays = (snapshot: NodeSnapshot) => ({
      ...{ links: snapshot.links, policyRules: snapshot.policyRules, ipsets: snapshot.ipsets, settings: snapshot.settings },
      rules: snapshot.rules.map((rule) => rule.replace(/veth\w+/, 'VETH').replace(/10\.244\.1\.\d+/, 'ADDRESS')).sort(),
      files: snapshot.files.filter((file) => file.startsWith('/etc/cni/net.d/')),
    })
    expect(stays(await snapshotNode(cluster.nodes[0]!))).toEqual(stays(fresh))
    await uninstallMesh(cluster, mesh)
    expect(compareNodes(before, await snapshotNode(cluster.nodes[0]!))).toEqual([])
  })

  test('in all of this the mesh asked for nothing that it may not', () => {
    const calls = readFileSync(join(dirname(cluster.kubeconfig), 'api-calls.jsonl'), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as ApiCall)
    expect(calls.length).toBeGreaterThan(10)
    expect(calls.filter((c) => !c.allowed)).toEqual([])
  })
})
