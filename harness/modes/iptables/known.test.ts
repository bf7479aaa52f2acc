import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ApiClient, accessOf } from '../../../clusters/api-client.ts'
import type { Cluster } from '../../../clusters/cluster.ts'
import { createCluster } from '../../../clusters/create.ts'
import { deployApps, installMesh } from '../../../clusters/install.ts'
import type { Pod } from '../../../clusters/kubernetes.ts'
import { clean } from '../../../clusters/registry.ts'
import { findPlace } from '../../../clusters/shell.ts'
import { parseTopology } from '../../../clusters/topology.ts'
import { known } from './known.ts'

const redirection = 'ambient.istio.io/redirection'
const root = join(import.meta.dirname, '../../..')
const mesh = { mode: 'iptables', release: '1.20' }
const topology = parseTopology(
  `
name: known
nodes: [one, two]
namespaces: { demo: { labels: { istio.io/dataplane-mode: ambient } }, plain: {} }
pods:
  - { name: sleep, namespace: demo, node: one, app: sleep, serviceAccount: shared }
  - { name: twin, namespace: demo, node: one, app: sleep, serviceAccount: shared }
  - { name: near, namespace: demo, node: one, app: httpbin, labels: { app: near } }
  - { name: far, namespace: demo, node: two, app: httpbin, labels: { app: far } }
  - { name: client, namespace: plain, node: one, app: sleep }
services:
  - { name: near, namespace: demo, selector: { app: near }, ports: &ports [{ name: http, port: 80, targetPort: 8080 }] }
  - { name: far, namespace: demo, selector: { app: far }, ports: *ports }
`,
  'known.yaml',
)

/** curl's exit codes. */
const [served, refused, timedOut, emptyAnswer, reset] = [0, 7, 28, 52, 56]

test('every row of the facts is there once, and each that is shown names a test that exists', () => {
  const rows = [...Array.from({ length: 30 }, (_, i) => `${i + 1}`), ...Array.from({ length: 12 }, (_, i) => `M${i + 1}`)]
  expect(known.map((k) => k.row)).toEqual(rows)
  for (const { row, here } of known) {
    if (here.is === 'unsupported') expect(here.because, row).not.toBe('')
    else expect(readFileSync(join(root, here.by.file), 'utf8'), row).toContain(here.by.test)
  }
})

/** What upstream knows of the mode, and what was measured: facts geneve-mode 6.1 and 6.2. Each is as it is there, or is mended and says so. */
describe.skipIf(process.getuid?.() !== 0)('what is known of mode iptables (needs root)', () => {
  let scratch: string
  let cluster: Cluster
  let api: ApiClient
  let pods: ReadonlyMap<string, string>
  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'everyhop-known-'))
    process.env.EVERYHOP_STATE_DIR = join(scratch, 'state')
    cluster = await createCluster('lab', topology)
    await installMesh(cluster, mesh)
    await deployApps(cluster, topology, mesh)
    const spec = { selector: { app: 'nobody' }, ports: [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }] }
    await cluster.apply([{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'nobody', namespace: 'demo' }, spec }])
    api = new ApiClient(accessOf(cluster.kubeconfig))
    const all = await Promise.all(['demo', 'plain'].map((namespace) => api.list(`/api/v1/namespaces/${namespace}/pods`)))
    pods = new Map(all.flatMap(({ items }) => (items as Pod[]).map((p) => [p.metadata.name, p.status?.podIP ?? ''] as const)))
  }, 240_000)
  afterAll(async () => {
    api?.close()
    await cluster?.[Symbol.asyncDispose]()
    await clean()
    delete process.env.EVERYHOP_STATE_DIR
    rmSync(scratch, { recursive: true, force: true })
  })

  const inside = async (where: string, ...command: string[]) => {
    const [program = '', ...args] = (await findPlace(cluster.handle, where)).enter
    const { exitCode, stdout } = await execa(program, [...args, ...command], { reject: false })
    return { code: exitCode, text: stdout }
  }
  /** A request; what it waits for at most, in seconds, is far more than a request that is served takes. */
  const get = (where: string, url: string, ...options: string[]) => inside(where, 'curl', '-sS', '-m', '5', ...options, url)
  const at = (pod: string) => `http://${pods.get(pod)}:8080/anything`
  const ownAddress = (node: string) => cluster.nodes.find((n) => n.name === node)!.address

  test("M2: the node's own processes reach its pods from its address in the pod network, and from no other; those of other nodes do", async () => {
    expect((await get('one', at('near'))).code).toBe(served)
    expect((await get('one', at('near'), '--interface', ownAddress('one'))).code).toBe(timedOut)
    expect((await get('two', at('near'), '--interface', ownAddress('two'))).code).toBe(served)
  })

  test('M2: nor do they reach them by the address of a service', async () => {
    const address = (await inside('sleep', 'getent', 'hosts', 'near.demo')).text.split(/\s+/)[0]
    expect((await get('one', `http://${address}/anything`)).code).toBe(timedOut)
    expect((await get('two', `http://${address}/anything`)).code).toBe(served)
  })

  test("M4: datagrams of the node come to its pods by way of ztunnel's namespace", async () => {
    const ztunnel = (await api.list('/api/v1/namespaces/istio-system/pods')).items.find(
      (p) => p.metadata.name.startsWith('ztunnel-') && (p as Pod).spec.nodeName === 'one',
    )!.metadata.name
    const arrived = async () => Number((await inside(ztunnel, 'cat', '/sys/class/net/pistioin/statistics/rx_packets')).text)
    const before = await arrived()
    const ask = `const s = require('node:dgram').createSocket('udp4'); s.on('message', (m) => { console.log(String(m)); s.close() }); s.send('asked', 9001, '${pods.get('near')}'); setTimeout(() => process.exit(1), 5000).unref()`
    expect(await inside('one', 'node', '--v8-pool-size=0', '-e', ask)).toEqual({ code: 0, text: 'asked' })
    expect(await arrived()).toBeGreaterThan(before)
  })

  test("M3: a pod of the mesh does not reach its own node's address; one outside the mesh does", async () => {
    const server = cluster.nodes[0]!.spawn([
      'node',
      '--v8-pool-size=0',
      '-e',
      `require('node:http').createServer((_, r) => r.end('here')).listen(18080, '${ownAddress('one')}', () => console.log('up'))`,
    ])
    try {
      await new Promise((resolve) => server.stdout!.once('data', resolve))
      const url = `http://${ownAddress('one')}:18080/`
      expect(await get('client', url)).toEqual({ code: served, text: 'here' })
      expect((await get('sleep', url)).code).toBe(timedOut)
    } finally {
      server.kill()
    }
  })

  test('istio#46614 and M6: a pod leaves and comes back; a connection that it had in between is reset', async () => {
    const path = '/api/v1/namespaces/demo/pods'
    const annotated = (value: string) =>
      api.until(path, (all) => all.some((p) => p.metadata.name === 'twin' && p.metadata.annotations?.[redirection] === value) || undefined)
    const annotate = (value: 'disabled' | null) =>
      api.json('PATCH', `${path}/twin`, { metadata: { annotations: { [redirection]: value } } }, 'application/merge-patch+json')
    const captured = async () => (await inside('one', 'ipset', 'list', 'ztunnel-pods-ips')).text.includes(`${pods.get('twin')} `)
    expect(await captured()).toBe(true)
    await annotate('disabled')
    await expect.poll(captured, { timeout: 20_000 }).toBe(false)
    // It says something twice a second, and how it ends.
    const talk = `const s = require('node:net').connect(9000, '${pods.get('far')}', () => setInterval(() => s.write('x'), 500))
s.once('data', () => console.log('stands')).on('error', (e) => { console.log(e.code); process.exit(0) })`
    const [program = '', ...args] = (await findPlace(cluster.handle, 'twin')).enter
    const talking = execa(program, [...args, process.execPath, '--v8-pool-size=0', '-e', talk], { reject: false, timeout: 60_000 })
    await once(talking.stdout!, 'data')
    await annotate(null)
    await annotated('enabled')
    expect((await talking).stdout).toBe('stands\nECONNRESET')
    expect(await captured()).toBe(true)
    expect((await get('twin', at('far'))).text).toContain(`"${pods.get('twin')}:`)
  })

  test('istio#46354, ztunnel#621: the address of a service that is on the node itself, as IPVS has them, is never captured', async () => {
    const address = (await inside('sleep', 'getent', 'hosts', 'far.demo')).text.split(/\s+/)[0]
    expect((await get('sleep', `http://${address}/anything`)).code).toBe(served)
    await inside('one', 'ip', 'addr', 'add', `${address}/32`, 'dev', 'lo')
    // The node itself answers, that nobody listens; and that goes astray, as what it answers its own pods in M3.
    expect((await get('sleep', `http://${address}/anything`)).code).toBe(timedOut)
    await inside('one', 'ip', 'addr', 'del', `${address}/32`, 'dev', 'lo')
    expect((await get('sleep', `http://${address}/anything`)).code).toBe(served)
  })

  test('istio#45471: a service without endpoints is answered by ztunnel, and not refused by the node', async () => {
    const address = (await inside('sleep', 'getent', 'hosts', 'nobody.demo')).text.split(/\s+/)[0]
    expect((await get('client', `http://${address}/`)).code).toBe(refused)
    expect([emptyAnswer, reset]).toContain((await get('sleep', `http://${address}/`)).code)
  })

  test('ztunnel#770, mended: pods with one identity do not share a tunnel, so that the server sees who called it', async () => {
    for (const client of ['sleep', 'twin', 'sleep']) expect((await get(client, at('far'))).text).toContain(`"${pods.get(client)}:`)
  })
})
