import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { generateCa } from '../images/lib/ca.ts'
import { ApiClient, accessOf } from './api-client.ts'
import type { Cluster } from './cluster.ts'
import { createCluster } from './create.ts'
import { deployApps, InstallError, installMesh, removeApps, restartControlPlane, restartDaemonSetAtOnce, uninstallMesh } from './install.ts'
import type { Pod } from './kubernetes.ts'
import type { ApiCall } from './lab/api-calls.ts'
import { meshManifests } from './manifests/mesh.ts'
import { image } from './manifests/names.ts'
import { grants } from './manifests/testing/grants.ts'
import { compareNodes, type NodeSnapshot, snapshotNode } from './node-audit.ts'
import { clean } from './registry.ts'
import { parseTopology } from './topology.ts'

const mesh = { mode: 'inpod', release: 'today' }
const topology = parseTopology(
  `
name: small
nodes: [one]
namespaces: { demo: { labels: { istio.io/dataplane-mode: ambient } }, plain: {} }
pods:
  - { name: httpbin, namespace: demo, node: one, app: httpbin, labels: { app: httpbin } }
  - { name: out, namespace: demo, node: one, app: sleep, labels: { istio.io/dataplane-mode: none } }
  - { name: client, namespace: plain, node: one, app: sleep }
services: [{ name: httpbin, namespace: demo, selector: { app: httpbin }, ports: [{ name: http, port: 80, targetPort: 8080 }] }]
`,
  'small.yaml',
)

let scratch: string
let cluster: Cluster
let api: ApiClient
/** The node before there was a mesh. */
let before: NodeSnapshot
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'everyhop-install-'))
  process.env.EVERYHOP_STATE_DIR = join(scratch, 'state')
  cluster = await createCluster('lab', topology)
  api = new ApiClient(accessOf(cluster.kubeconfig))
  before = await snapshotNode(cluster.nodes[0]!)
})
afterAll(async () => {
  api?.close()
  await cluster?.[Symbol.asyncDispose]()
  await clean()
  delete process.env.EVERYHOP_STATE_DIR
  rmSync(scratch, { recursive: true, force: true })
})

const pods = async (namespace: string) => (await api.list(`/api/v1/namespaces/${namespace}/pods`)).items as Pod[]

/** The same cluster, with this instead of an image. */
function withImage(name: string, source: string, entry: string): Cluster {
  return Object.create(cluster, { loadImages: { value: () => cluster.loadImages([{ name, source, entry }]) } }) as Cluster
}

test('a mode or release that is not known is refused before anything is made', async () => {
  await expect(installMesh(cluster, { mode: 'sidecar', release: 'today' })).rejects.toThrow(/mode "sidecar" is not known; fix: use inpod/)
  await expect(installMesh(cluster, { mode: 'inpod', release: '1.3' })).rejects.toThrow(
    /release "1.3" is not known .*fix: use today or 1.21/,
  )
  expect((await api.list('/api/v1/namespaces')).items.map((n) => n.metadata.name)).not.toContain('istio-system')
})

test('a mesh whose agent crashes is given up with its last words and the fix; mended, it installs over it', {
  timeout: 90_000,
}, async () => {
  const broken = withImage(image.cni, 'clusters/lab/testing', 'crash.ts')
  const failure = await installMesh(broken, { ...mesh, timeoutMs: 40_000 }).then(
    () => undefined,
    (error) => error,
  )
  expect(failure).toBeInstanceOf(InstallError)
  expect(failure.message).toMatch(
    /^the mesh \(istiod, ztunnel, istio-cni-node\) did not come up: pod istio-system\/istio-cni-node-\w+: container install-cni crashed \d+ times/,
  )
  expect(failure.message).toContain('    | this agent cannot go on')
  expect(failure.message).toMatch(/ {2}fix: the container's program ends by itself/)

  await api.delete({ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'istio-cni-node', namespace: 'istio-system' } })
  // Its pods are let go after it.
  await api.until('/api/v1/namespaces/istio-system/pods', (all) => {
    const crashed = all.filter((o) => o.metadata.labels?.['k8s-app'] === 'istio-cni-node' || o.metadata.name.startsWith('istio-cni-node-'))
    return crashed.every((o) => o.metadata.deletionTimestamp) || undefined
  })
  await installMesh(cluster, mesh)
  for (const pod of await pods('istio-system'))
    expect(pod.status?.conditions).toContainEqual(expect.objectContaining({ type: 'Ready', status: 'True' }))
})

test('apps are ready and, where the labels say so, enrolled', { timeout: 60_000 }, async () => {
  await deployApps(cluster, topology, mesh)
  // Else the audit at the end would prove nothing.
  const there = compareNodes(before, await snapshotNode(cluster.nodes[0]!)).join('\n')
  for (const trace of [
    /^rules added: .*ISTIO_POSTRT/m,
    /^ipsets added: istio-inpod-probes-v4$/m,
    /^files added: .*\/opt\/cni\/bin\/istio-cni$/m,
    /^files added: \/etc\/cni\/net\.d\/10-everyhop\.conflist .*"istio-cni"/m,
  ])
    expect(there).toMatch(trace)
  const redirection = (pod: Pod) => [pod.metadata.name, pod.metadata.annotations?.['ambient.istio.io/redirection']]
  expect(Object.fromEntries((await pods('demo')).map(redirection))).toEqual({ httpbin: 'enabled', out: undefined })
  expect((await pods('plain')).map(redirection)).toEqual([['client', undefined]])
})

test.for(['ztunnel', 'istio-cni-node'])('what is restarted at once is new, and rolls out as before', { timeout: 60_000 }, async (name) => {
  const path = `/apis/apps/v1/namespaces/istio-system/daemonsets/${name}`
  const pace = async () => (await api.json<{ spec: { updateStrategy: object } }>('GET', path)).spec.updateStrategy
  const mine = async () => (await pods('istio-system')).filter((p) => p.metadata.name.startsWith(`${name}-`)).map((p) => p.metadata.uid)
  const [before, old] = [await pace(), await mine()]
  await restartDaemonSetAtOnce(cluster, name)
  expect(await pace()).toEqual(before)
  expect(await mine()).toHaveLength(1)
  expect(await mine()).not.toEqual(old)
})

test('a root certificate that somebody changed is put right, a CA that ends is renewed', { timeout: 60_000 }, async () => {
  const [root, secret] = ['configmaps/istio-ca-root-cert', 'secrets/istio-ca-secret'].map(
    (path) => `/api/v1/namespaces/istio-system/${path}`,
  ) as [string, string]
  const published = () => api.json<{ data: Record<string, string> }>('GET', root)
  const before = await published()
  await api.json('PATCH', root, { data: { 'root-cert.pem': 'another' } }, 'application/merge-patch+json')
  const mended = (pem: (text: string | undefined) => boolean) =>
    api.until('/api/v1/namespaces/istio-system/configmaps', (all) => {
      const found = all.find((o) => o.metadata.name === 'istio-ca-root-cert') as { data?: Record<string, string> } | undefined
      return pem(found?.data?.['root-cert.pem']) || undefined
    })
  await mended((pem) => pem === before.data['root-cert.pem'])
  // Less than a fifth of its life is left: it began two minutes ago.
  const ending = await generateCa({ commonName: 'cluster.local', validFor: 29_000 })
  const data = Object.fromEntries(Object.entries(ending).map(([key, pem]) => [key, Buffer.from(pem).toString('base64')]))
  await api.json('PATCH', secret, { data }, 'application/merge-patch+json')
  await restartControlPlane(cluster)
  await mended((pem) => pem !== undefined && pem !== before.data['root-cert.pem'])
})

test('apps without an image fail at once, with the reason', { timeout: 60_000 }, async () => {
  const pod = topology.pods[2]!
  const lacking = { ...topology, pods: [{ ...pod, name: 'late' }], services: [] }
  const renamed = Object.create(cluster, {
    apply: {
      value: (objects: readonly Pod[]) =>
        cluster.apply(objects.map((o) => JSON.parse(JSON.stringify(o).replace(image.sleep, 'everyhop/none:dev')))),
    },
  }) as Cluster
  await expect(deployApps(renamed, lacking, mesh)).rejects.toThrow(/pod plain\/late: ErrImageNeverPull[\s\S]*fix: load the image/)
})

test('uninstalling takes the mesh away and leaves the apps', { timeout: 60_000 }, async () => {
  await uninstallMesh(cluster, mesh)
  expect((await api.list('/api/v1/namespaces')).items.map((n) => n.metadata.name)).not.toContain('istio-system')
  const [httpbin] = (await pods('demo')).filter((p) => p.metadata.name === 'httpbin')
  expect(httpbin?.status?.phase).toBe('Running')
  // Pods that the plugin was called for go without it, and then the node is what it was before there was a mesh.
  await removeApps(cluster, topology)
  expect(compareNodes(before, await snapshotNode(cluster.nodes[0]!))).toEqual([])
})

test('in all of this the mesh asked for nothing that it may not, and may do nothing that it did not', () => {
  const calls = readFileSync(join(dirname(cluster.kubeconfig), 'api-calls.jsonl'), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as ApiCall)
  expect(new Set(calls.map((c) => c.account))).toEqual(new Set(['istio-system/istio-cni', 'istio-system/istiod']))
  expect(calls.filter((c) => !c.allowed)).toEqual([])
  const used = (g: (typeof all)[number]) =>
    calls.some(
      (c) =>
        c.account === g.account && c.verb === g.verb && c.group === g.group && c.resource === g.resource && (!g.name || c.name === g.name),
    )
  const all = grants(meshManifests(mesh))
  expect(all.length).toBeGreaterThan(20)
  expect(all.filter((g) => !used(g))).toEqual([])
})
