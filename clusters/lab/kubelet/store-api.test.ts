import { afterAll, beforeAll, expect, test } from 'vitest'
import { resources } from '../apiserver/resources.ts'
import { Store } from '../apiserver/store.ts'
import { startTestLab, type TestLab } from '../node/testing.ts'
import { type Kubelet, startKubelet } from './kubelet.ts'
import type { Pod } from './pod.ts'
import { storeApi } from './store-api.ts'
import { isTrue, testImages } from './testing.ts'

let lab: TestLab
let store: Store
let kubelet: Kubelet

beforeAll(async () => {
  lab = await startTestLab(['one'])
  store = new Store()
  store.create(resources.namespaces, { metadata: { name: 'demo' } })
  store.create(resources.serviceaccounts, { metadata: { name: 'default', namespace: 'demo' } })
  const issueToken = async () => ({ token: 'signed', expirationSeconds: 3600 })
  const api = storeApi({ store, caBundle: 'CA', issueToken })
  kubelet = await startKubelet({ node: lab.nodes[0]!, api, registry: lab.registry, images: testImages })
})
afterAll(async () => {
  await kubelet.stop()
  await lab.teardown()
})

/** Resolves with the pod when it is as wanted; `undefined`: when it is gone. */
function pod(name: string, wanted: (pod: Pod | undefined) => boolean): Promise<Pod | undefined> {
  return new Promise((resolve) => {
    const end = store.watch(resources.pods, { fieldSelector: `metadata.name=${name}` }, ({ type, object }) => {
      const seen = type === 'DELETED' ? undefined : (object as unknown as Pod)
      if (!wanted(seen)) return
      resolve(seen)
      queueMicrotask(() => end())
    })
  })
}

test('a pod in the API server’s store is run, reported and taken away', async () => {
  const node = store.get(resources.nodes, { name: 'one' })
  expect(node.status?.conditions?.find((c) => c.type === 'Ready')).toMatchObject({ status: 'True' })
  const ref = { name: 'stored', namespace: 'demo' }
  const spec = { nodeName: 'one', terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: 'test/sleep' }] }
  store.create(resources.pods, { metadata: ref, spec })
  const ready = await pod('stored', (p) => p !== undefined && isTrue(p, 'Ready'))
  expect(ready?.status?.podIP).toMatch(/^10\.244\.1\./)
  // Others write to the object too, and are not overwritten.
  store.patch(resources.pods, ref, { metadata: { annotations: { 'ambient.istio.io/redirection': 'enabled' } } }, { subresource: 'status' })
  store.delete(resources.pods, ref)
  expect(store.get(resources.pods, ref).metadata.annotations).toEqual({ 'ambient.istio.io/redirection': 'enabled' })
  await pod('stored', (p) => p === undefined)
  expect(store.find(resources.pods, ref)).toBeUndefined()
})

test('a ConfigMap of the store starts a pod that waits for it', async () => {
  const env = [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'late', key: 'k' } } }]
  const spec = { nodeName: 'one', terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: 'test/sleep', env }] }
  store.create(resources.pods, { metadata: { name: 'waits', namespace: 'demo' }, spec })
  await pod('waits', (p) => p?.status?.containerStatuses?.[0]?.state.waiting?.reason === 'CreateContainerConfigError')
  store.create(resources.configmaps, { metadata: { name: 'late', namespace: 'demo' }, data: { k: 'v' } })
  await pod('waits', (p) => p !== undefined && isTrue(p, 'Ready'))
  store.delete(resources.pods, { name: 'waits', namespace: 'demo' })
  await pod('waits', (p) => p === undefined)
})

test('a second kubelet of the same node brings its object up to date', async () => {
  const api = storeApi({ store, caBundle: 'CA', issueToken: async () => ({ token: 't', expirationSeconds: 60 }) })
  store.patch(resources.nodes, { name: 'one' }, { metadata: { labels: { mine: 'yes' } }, spec: { podCIDR: '10.0.0.0/24' } })
  const second = await startKubelet({ node: lab.nodes[0]!, api, registry: lab.registry, images: testImages })
  await second.stop()
  expect(store.get(resources.nodes, { name: 'one' })).toMatchObject({
    metadata: { labels: { mine: 'yes' } },
    spec: { podCIDR: '10.244.1.0/24' },
  })
})
