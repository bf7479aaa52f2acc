import { afterAll, beforeAll, expect, test } from 'vitest'
import { ApiClient } from './api-client.ts'
import type { Cluster } from './cluster.ts'
import { InstallError, installMesh } from './install.ts'
import { type RealApiServer, startRealApiServer } from './kind/testing/api-server.ts'
import type { Pod } from './kubernetes.ts'

// Kubernetes' own API server, admission, controllers and scheduler; what a kubelet would do, the test does.
let server: RealApiServer
let api: ApiClient
let cluster: Cluster
const mesh = { mode: 'inpod', release: 'today' }
const namespace = '/api/v1/namespaces/istio-system'

beforeAll(async () => {
  server = await startRealApiServer({ withControllers: true })
  api = new ApiClient(server.access)
  cluster = {
    kubeconfig: server.kubeconfig,
    nodes: [{}],
    loadImages: async () => {},
    apply: async (objects: Parameters<Cluster['apply']>[0]) => {
      for (const object of objects) await api.apply(object)
    },
  } as unknown as Cluster
}, 1_800_000)
afterAll(async () => {
  api?.close()
  await server?.[Symbol.asyncDispose]()
})

const merge = 'application/merge-patch+json'
const failure = async (timeoutMs: number): Promise<string> => {
  const error = await installMesh(cluster, { ...mesh, timeoutMs }).then(
    () => undefined,
    (e) => e,
  )
  expect(error).toBeInstanceOf(InstallError)
  return error.message
}

/** A node that says it is ready, without a kubelet. */
async function addNode(name: string): Promise<void> {
  await api.json('POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/os': 'linux' } } })
  const conditions = [
    { type: 'Ready', status: 'True', reason: 'KubeletReady', message: '', lastHeartbeatTime: null, lastTransitionTime: null },
  ]
  const status = { conditions, capacity: { cpu: '4', memory: '8Gi', pods: '110' }, allocatable: { cpu: '4', memory: '8Gi', pods: '110' } }
  await api.json('PATCH', `/api/v1/nodes/${name}/status`, { status }, merge)
  // Taken off by a controller that is not here.
  await api.json('PATCH', `/api/v1/nodes/${name}`, { spec: { taints: null } }, merge)
}

test('a namespace that does not admit the pods, and a control plane that no node takes: told with the words of Kubernetes, and the fix', async () => {
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' }
  await api.json('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'istio-system', labels } })
  await addNode('one')
  const said = await failure(15_000)
  expect(said).toMatch(/^the mesh \(istiod, ztunnel, istio-cni-node\) did not come up: not in 15 s/)
  for (const set of ['ztunnel', 'istio-cni-node'])
    expect(said).toMatch(
      new RegExp(
        `DaemonSet ${set}: Warning FailedCreate: .*violates PodSecurity "restricted:latest".*\\n  fix: the cluster does not admit the pod`,
      ),
    )
})

test('a node that takes no pods', async () => {
  await api.json(
    'PATCH',
    '/api/v1/namespaces/istio-system',
    { metadata: { labels: { 'pod-security.kubernetes.io/enforce': null } } },
    merge,
  )
  await api.json('PATCH', '/api/v1/nodes/one', { spec: { unschedulable: true } }, merge)
  // What waited for the namespace is tried again after a while; anew it is tried at once.
  await api.delete({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'istiod', namespace: 'istio-system' } })
  const said = await failure(15_000)
  expect(said).toMatch(
    /pod istio-system\/istiod-\S+ on node \(none\): Pending\n {2}not scheduled: Unschedulable: 0\/1 nodes are available: 1 node\(s\) were unschedulable/,
  )
  expect(said).toMatch(/event Warning FailedScheduling: .*\n {2}fix: make room on the nodes/)
})

test('an image that cannot be pulled ends the wait at once', async () => {
  await api.json('PATCH', '/api/v1/nodes/one', { spec: { unschedulable: false } }, merge)
  const installing = failure(60_000)
  const pod = await api.until(`${namespace}/pods`, (pods) =>
    (pods as Pod[]).find((p) => p.metadata.name.startsWith('istiod-') && p.spec.nodeName),
  )
  const started = performance.now()
  const message = 'Back-off pulling image "everyhop/discovery:dev": ErrImagePull: pull access denied'
  const state = { waiting: { reason: 'ImagePullBackOff', message } }
  const status = {
    containerStatuses: [{ name: 'discovery', image: 'everyhop/discovery:dev', imageID: '', ready: false, restartCount: 0, state }],
  }
  await api.json('PATCH', `${namespace}/pods/${pod.metadata.name}/status`, { status }, merge)
  expect(await installing).toContain(`did not come up: pod istio-system/${pod.metadata.name}: ImagePullBackOff: ${message}`)
  expect(performance.now() - started).toBeLessThan(30_000)
})
