import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { resources } from '../apiserver/store.ts'
import type { KubeObject, Pod } from '../apiserver/types.ts'
import { TestCluster, template } from './test-cluster.ts'

let cluster: TestCluster
beforeEach(() => {
  cluster = new TestCluster()
})
afterEach(() => {
  cluster[Symbol.dispose]()
  expect(cluster.errors).toStrictEqual([])
})

const pod = (name: string, labels: Record<string, string> = { app: 'x' }, extra: object = {}) =>
  cluster.store.create(resources.pods, { metadata: { name, namespace: 'n', labels }, spec: { ...template('x').spec, ...extra } })
const service = (spec: object) =>
  cluster.store.create(resources.services, {
    metadata: { name: 's', namespace: 'n' },
    spec: { ports: [{ port: 80, targetPort: 'web' }], ...spec },
  })

describe('EndpointSlices', () => {
  interface Slice extends KubeObject {
    endpoints: {
      addresses: string[]
      conditions: { ready: boolean; serving: boolean; terminating: boolean }
      nodeName?: string
      hostname?: string
      targetRef: object
    }[]
    ports: { port: number }[]
  }
  const slices = () => cluster.store.list(resources.endpointslices, { namespace: 'n' }) as Slice[]
  const ready = () => slices().flatMap((slice) => slice.endpoints.filter((e) => e.conditions.ready).map((e) => e.addresses[0]))
  const subsets = () =>
    (cluster.get(resources.endpoints, 's') as KubeObject & { subsets: { addresses?: object[]; notReadyAddresses?: object[] }[] }).subsets

  test('follow pods as they start, fail their probes, change labels and end', async () => {
    service({ selector: { app: 'x' } })
    await cluster.settle()
    expect(slices()).toMatchObject([{ endpoints: [], addressType: 'IPv4', metadata: { labels: { 'kubernetes.io/service-name': 's' } } }])
    pod('a')
    pod('b')
    await cluster.settle()
    const [a, b] = cluster.pods() as [Pod, Pod]
    expect(ready()).toStrictEqual([a.status!.podIP, b.status!.podIP])
    expect(slices()[0]).toMatchObject({ ports: [{ name: '', port: 8080, protocol: 'TCP' }] })
    expect(slices()[0]!.endpoints[0]).toMatchObject({
      nodeName: a.spec.nodeName,
      targetRef: { kind: 'Pod', name: 'a', namespace: 'n', uid: a.metadata.uid },
    })
    cluster.setReady(a, false)
    await cluster.settle()
    expect(ready()).toStrictEqual([b.status!.podIP])
    expect(subsets()).toMatchObject([{ addresses: [{ ip: b.status!.podIP }], notReadyAddresses: [{ ip: a.status!.podIP }] }])
    cluster.lingering = true
    cluster.store.delete(resources.pods, b.metadata)
    await cluster.settle()
    expect(slices()[0]!.endpoints[1]!.conditions).toStrictEqual({ ready: false, serving: true, terminating: true })
    cluster.store.patch(resources.pods, a.metadata, { metadata: { labels: { app: 'other' } } })
    await cluster.settle()
    expect(slices()[0]!.endpoints).toHaveLength(1)
    cluster.store.delete(resources.services, { name: 's', namespace: 'n' })
    await cluster.settle()
    expect([slices(), cluster.store.find(resources.endpoints, { name: 's', namespace: 'n' })]).toStrictEqual([[], undefined])
  })

  test('headless services: labelled, with the host names of their pods; unready ones when asked for', async () => {
    cluster.becomesReady = () => false
    service({ selector: { app: 'x' }, clusterIP: 'None', publishNotReadyAddresses: true })
    pod('a', { app: 'x' }, { hostname: 'a', subdomain: 's' })
    await cluster.settle()
    expect(slices()).toMatchObject([
      {
        metadata: { labels: { 'service.kubernetes.io/headless': '' } },
        endpoints: [{ hostname: 'a', conditions: { ready: true, serving: false } }],
      },
    ])
  })

  test('pods that give a named port other numbers have slices of their own', async () => {
    service({ selector: { app: 'x' } })
    pod('a')
    pod('b', { app: 'x' }, { containers: [{ name: 'c', image: 'i:1', ports: [{ name: 'web', containerPort: 9090 }] }] })
    await cluster.settle()
    expect(
      slices()
        .map(({ ports, endpoints }) => [ports[0]!.port, endpoints.length])
        .sort(),
    ).toStrictEqual([
      [8080, 1],
      [9090, 1],
    ])
    cluster.store.delete(resources.pods, { name: 'b', namespace: 'n' })
    await cluster.settle()
    expect(slices().map(({ ports }) => ports[0]!.port)).toStrictEqual([8080])
  })

  test('a slice that somebody deletes comes back; services without selector are left alone', async () => {
    service({ selector: { app: 'x' } })
    await cluster.settle()
    cluster.store.delete(resources.endpointslices, slices()[0]!.metadata)
    cluster.store.create(resources.services, { metadata: { name: 'own', namespace: 'n' }, spec: { ports: [{ port: 1 }] } })
    await cluster.settle()
    expect(slices().map((slice) => slice.metadata.labels!['kubernetes.io/service-name'])).toStrictEqual(['s'])
  })
})

describe('garbage collection', () => {
  const config = (name: string, ...owners: { name: string; uid?: string }[]) =>
    cluster.store.create(resources.configmaps, {
      metadata: {
        name,
        namespace: 'n',
        ownerReferences: owners.map((owner) => ({
          apiVersion: 'v1',
          kind: 'ConfigMap',
          name: owner.name,
          uid: owner.uid ?? 'gone',
          blockOwnerDeletion: true,
        })),
      },
    }).metadata
  const names = () =>
    cluster.store
      .list(resources.configmaps, { namespace: 'n' })
      .map((c) => c.metadata.name)
      .filter((name) => !name.startsWith('kube-'))

  test('what has lost all its owners goes, generation by generation; what has one left stays', async () => {
    const [one, two] = [config('one'), config('two')]
    const child = config('child', one)
    config('grandchild', child)
    config('shared', one, two)
    await cluster.settle()
    expect(names()).toHaveLength(5)
    cluster.store.delete(resources.configmaps, one)
    await cluster.settle()
    expect(names()).toStrictEqual(['shared', 'two'])
    expect(cluster.get(resources.configmaps, 'shared').metadata.ownerReferences!.map((owner) => owner.name)).toStrictEqual(['two'])
  })

  test('an owner that never was', async () => {
    config('orphaned', { name: 'nobody' })
    const ownerReferences = [{ apiVersion: 'example.com/v1', kind: 'Unknown', name: 'x', uid: 'u' }]
    cluster.store.create(resources.configmaps, { metadata: { name: 'of-unknown-kind', namespace: 'n', ownerReferences } })
    await cluster.settle()
    expect(names()).toStrictEqual(['of-unknown-kind'])
  })

  test('Orphan leaves dependents, without the reference; Foreground waits for them', async () => {
    const one = config('one')
    config('child', one)
    cluster.store.delete(resources.configmaps, one, { propagationPolicy: 'Orphan' })
    await cluster.settle()
    expect(names()).toStrictEqual(['child'])
    expect(cluster.get(resources.configmaps, 'child').metadata.ownerReferences).toBeUndefined()
    const two = config('two')
    config('held', two)
    cluster.store.patch(resources.configmaps, { name: 'held', namespace: 'n' }, { metadata: { finalizers: ['x/hold'] } })
    await cluster.settle()
    cluster.store.delete(resources.configmaps, two, { propagationPolicy: 'Foreground' })
    await cluster.settle()
    expect(names()).toContain('two')
    cluster.store.patch(resources.configmaps, { name: 'held', namespace: 'n' }, { metadata: { finalizers: null } })
    await cluster.settle()
    expect(names()).toStrictEqual(['child'])
  })
})

describe('namespaces', () => {
  test('have a service account and the CA from their first moment, and get them back', async () => {
    cluster.store.create(resources.namespaces, { metadata: { name: 'new' } })
    const ca = { name: 'kube-root-ca.crt', namespace: 'new' }
    expect(cluster.store.get(resources.configmaps, ca).data).toStrictEqual({ 'ca.crt': 'CA' })
    const account = { name: 'default', namespace: 'new' }
    cluster.store.delete(resources.serviceaccounts, account)
    cluster.store.delete(resources.configmaps, ca)
    cluster.store.get(resources.serviceaccounts, account)
    cluster.store.patch(resources.configmaps, ca, { data: { 'ca.crt': 'forged' } })
    expect(cluster.store.get(resources.configmaps, ca).data).toStrictEqual({ 'ca.crt': 'CA' })
  })

  test('go when everything in them has gone, pods by their kubelets', async () => {
    pod('a')
    service({ selector: { app: 'x' } })
    await cluster.settle()
    cluster.lingering = true
    cluster.store.delete(resources.namespaces, { name: 'n' })
    await cluster.settle()
    expect(cluster.store.get(resources.namespaces, { name: 'n' }).status).toStrictEqual({ phase: 'Terminating' })
    expect(cluster.store.list(resources.services, { namespace: 'n' })).toStrictEqual([])
    cluster.lingering = false
    cluster.kubelet(cluster.get(resources.pods, 'a'))
    await cluster.settle()
    expect(cluster.store.find(resources.namespaces, { name: 'n' })).toBeUndefined()
    cluster.store.create(resources.namespaces, { metadata: { name: 'n' } })
    expect(cluster.store.list(resources.configmaps, { namespace: 'n' })).toHaveLength(1)
  })
})
