import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ApiClient, accessOf } from '../api-client.ts'
import type { Cluster } from '../cluster.ts'
import { createCluster } from '../create.ts'
import { deployApps, installMesh } from '../install.ts'
import type { KubernetesObject, Pod } from '../kubernetes.ts'
import { clean } from '../registry.ts'
import { parseTopology } from '../topology.ts'

const topology = parseTopology(
  `
name: two
nodes: [one, two]
namespaces: { demo: { labels: { istio.io/dataplane-mode: ambient } } }
pods:
  - { name: sleep, namespace: demo, node: one, app: sleep }
  - { name: httpbin, namespace: demo, node: two, app: httpbin, labels: { role: httpbin } }
services: [{ name: httpbin, namespace: demo, selector: { role: httpbin }, ports: [{ name: http, port: 80, targetPort: 8080 }] }]
`,
  'two.yaml',
)
const system = '/api/v1/namespaces/istio-system/pods'

describe.skipIf(process.getuid?.() !== 0)('a mesh with its control plane', () => {
  let scratch: string
  let cluster: Cluster
  let api: ApiClient
  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'everyhop-control-plane-'))
    process.env.EVERYHOP_STATE_DIR = join(scratch, 'state')
    cluster = await createCluster('lab', topology)
    api = new ApiClient(accessOf(cluster.kubeconfig))
    await installMesh(cluster, { mode: 'inpod', release: 'today' })
    await deployApps(cluster, topology, { mode: 'inpod', release: 'today' })
  }, 90_000)
  afterAll(async () => {
    api?.close()
    await cluster?.[Symbol.asyncDispose]()
    await clean()
    delete process.env.EVERYHOP_STATE_DIR
    rmSync(scratch, { recursive: true, force: true })
  })

  const podsOf = async (app: string) => ((await api.list(system)).items as Pod[]).filter((p) => p.metadata.labels?.app === app)
  const log = (pod: KubernetesObject) => api.text('GET', `${system}/${pod.metadata.name}/log`)
  /** What a ztunnel was told since: a list of names for each response. */
  const told = async (ztunnel: Pod, from: number) =>
    (await log(ztunnel))
      .slice(from)
      .split('\n')
      .filter((line) => line.includes('received response'))
      .map((line) =>
        ['put', 'removed'].flatMap((field) => new RegExp(` ${field}="([^"]*)"`).exec(line)?.[1]?.split(',') ?? []).filter(Boolean),
      )
  const relabel = (pod: string, version: string) =>
    api.json('PATCH', `/api/v1/namespaces/demo/pods/${pod}`, { metadata: { labels: { version } } }, 'application/merge-patch+json')
  const length = async (pod: Pod) => (await log(pod)).length

  test('a label of one pod that changes is one resource to each ztunnel', { timeout: 30_000 }, async () => {
    const ztunnels = await podsOf('ztunnel')
    expect(ztunnels).toHaveLength(2)
    // A fence before and one after: what is between was told because of the one change.
    for (const [pod, version] of [
      ['httpbin', 'before'],
      ['sleep', 'changed'],
      ['httpbin', 'after'],
    ] as const) {
      const from = await Promise.all(ztunnels.map(length))
      await relabel(pod, version)
      const heard = () => Promise.all(ztunnels.map(async (z, i) => (await told(z, from[i]!)).at(-1)))
      const name = `Kubernetes//Pod/demo/${pod}`
      await expect.poll(heard, { timeout: 10_000 }).toEqual([[name], [name]])
    }
    const [httpbin, sleep] = ['Kubernetes//Pod/demo/httpbin', 'Kubernetes//Pod/demo/sleep']
    for (const ztunnel of ztunnels) expect((await told(ztunnel, 0)).slice(-3)).toEqual([[httpbin], [sleep], [httpbin]])
  })

  test('a control plane that is replaced sends nothing anew but itself, and signs nothing anew', { timeout: 60_000 }, async () => {
    const ztunnels = await podsOf('ztunnel')
    const [old] = await podsOf('istiod')
    const before = await Promise.all(ztunnels.map(length))
    await api.json('DELETE', `${system}/${old?.metadata.name}`)
    const isReady = (pod: Pod) => pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True')
    const fresh = await api.until(system, (pods) =>
      (pods as Pod[]).find((p) => p.metadata.labels?.app === 'istiod' && p.metadata.uid !== old?.metadata.uid && isReady(p)),
    )
    // Both types from each ztunnel, which say what they have.
    const subscriptions = async () => (await log(fresh)).split('\n').filter((line) => line.includes('a client subscribed'))
    await expect.poll(async () => (await subscriptions()).length, { timeout: 20_000 }).toBe(4)
    expect((await subscriptions()).filter((line) => line.includes('type=WDS') && line.endsWith('has=0'))).toEqual([])
    const own = (name: string) => name.startsWith('Kubernetes//Pod/istio-system/istiod-')
    // The fence again.
    await relabel('sleep', 'later')
    for (const [i, ztunnel] of ztunnels.entries()) {
      const others = async () => (await told(ztunnel, before[i]!)).flat().filter((name) => !own(name))
      await expect.poll(others, { timeout: 10_000 }).toEqual(['Kubernetes//Pod/demo/sleep'])
    }
    expect(await log(fresh)).not.toContain('certificate signed')
  })
})
