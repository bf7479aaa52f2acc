import { type CoreV1Api, CustomObjectsApi, type KubeConfig, KubernetesObjectApi, PatchStrategy } from '@kubernetes/client-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { resources } from './store.ts'
import { as, failure, pod, startTestServer, type TestServer } from './test-server.ts'

let context: TestServer
let server: TestServer['server']
let kubeConfig: KubeConfig
let core: CoreV1Api
let namespace: TestServer['namespace']
beforeAll(async () => {
  context = await startTestServer()
  ;({ server, kubeConfig, core, namespace } = context)
})
afterAll(() => context[Symbol.asyncDispose]())

describe('objects, by the Kubernetes client', () => {
  test('a pod is created with defaults, read, listed, patched, deleted', async () => {
    const ns = await namespace()
    const created = await core.createNamespacedPod({ namespace: ns, body: pod('a', { nodeName: 'node1' }) })
    expect(created.metadata).toMatchObject({ name: 'a', namespace: ns, uid: expect.stringMatching(/^[0-9a-f-]{36}$/), generation: 1 })
    expect(created.metadata!.creationTimestamp).toBeInstanceOf(Date)
    expect(created.spec).toMatchObject({ restartPolicy: 'Always', serviceAccountName: 'default', terminationGracePeriodSeconds: 30 })
    expect(created.spec!.volumes![0]!.projected!.sources![0]!.serviceAccountToken!.expirationSeconds).toBe(3607)
    expect(created.status).toMatchObject({ phase: 'Pending', qosClass: 'BestEffort' })

    const merged = await core.patchNamespacedPod(
      { namespace: ns, name: 'a', body: { metadata: { labels: { x: '1' } } } },
      as(PatchStrategy.MergePatch),
    )
    expect(merged.metadata!.labels).toStrictEqual({ app: 'a', x: '1' })
    const operations = [{ op: 'replace', path: '/metadata/labels/x', value: '2' }]
    expect((await core.patchNamespacedPod({ namespace: ns, name: 'a', body: operations })).metadata!.labels!.x).toBe('2')
    const strategic = { spec: { containers: [{ name: 'c', image: 'everyhop/sleep:two' }] } }
    const updated = await core.patchNamespacedPod({ namespace: ns, name: 'a', body: strategic }, as(PatchStrategy.StrategicMergePatch))
    expect(updated.spec!.containers).toMatchObject([{ name: 'c', image: 'everyhop/sleep:two', imagePullPolicy: 'IfNotPresent' }])
    expect(updated.metadata!.generation).toBe(2)

    const list = await core.listNamespacedPod({
      namespace: ns,
      labelSelector: 'app in (a,b),x',
      fieldSelector: 'spec.nodeName=node1,status.phase!=Failed',
    })
    expect(list.items.map((p) => p.metadata!.name)).toStrictEqual(['a'])
    expect((await core.listPodForAllNamespaces({ fieldSelector: `metadata.namespace=${ns}` })).items).toHaveLength(1)
    expect((await core.listNamespacedPod({ namespace: ns, labelSelector: 'x!=2' })).items).toHaveLength(0)

    const ending = await core.deleteNamespacedPod({ namespace: ns, name: 'a', gracePeriodSeconds: 7 })
    expect(ending.metadata).toMatchObject({ deletionGracePeriodSeconds: 7, deletionTimestamp: expect.any(Date) })
    expect((await core.readNamespacedPod({ namespace: ns, name: 'a' })).metadata!.deletionTimestamp).toBeDefined()
    await core.deleteNamespacedPod({
      namespace: ns,
      name: 'a',
      body: { gracePeriodSeconds: 0, preconditions: { uid: created.metadata!.uid! } },
    })
    expect(await failure(core.readNamespacedPod({ namespace: ns, name: 'a' }))).toMatchObject({
      code: 404,
      reason: 'NotFound',
      message: 'pods "a" not found',
    })
  })

  test('what was read can be written back: no new version without a change, a conflict after one by somebody else', async () => {
    const ns = await namespace()
    await core.createNamespacedPod({ namespace: ns, body: pod('a') })
    const conditions = [{ type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }]
    const read = await core.patchNamespacedPodStatus(
      { namespace: ns, name: 'a', body: { status: { conditions } } },
      as(PatchStrategy.MergePatch),
    )
    const again = await core.replaceNamespacedPod({ namespace: ns, name: 'a', body: read })
    expect(again.metadata!.resourceVersion).toBe(read.metadata!.resourceVersion)
    expect((await core.replaceNamespacedPodStatus({ namespace: ns, name: 'a', body: read })).metadata!.resourceVersion).toBe(
      read.metadata!.resourceVersion,
    )
    await core.patchNamespacedPod({ namespace: ns, name: 'a', body: { metadata: { labels: { x: '1' } } } }, as(PatchStrategy.MergePatch))
    expect(await failure(core.replaceNamespacedPod({ namespace: ns, name: 'a', body: read }))).toMatchObject({
      code: 409,
      reason: 'Conflict',
    })
  })

  test('the status subresource changes nothing else, and the rest does not change the status', async () => {
    const ns = await namespace()
    await core.createNamespacedPod({ namespace: ns, body: pod('a') })
    const change = { spec: { containers: [{ name: 'c', image: 'other' }] }, status: { phase: 'Running' } }
    const status = await core.patchNamespacedPodStatus({ namespace: ns, name: 'a', body: change }, as(PatchStrategy.StrategicMergePatch))
    expect([status.status!.phase, status.spec!.containers[0]!.image]).toStrictEqual(['Running', 'everyhop/sleep:dev'])
    const body = { status: { phase: 'Failed' } }
    expect((await core.patchNamespacedPod({ namespace: ns, name: 'a', body }, as(PatchStrategy.MergePatch))).status!.phase).toBe('Running')
  })

  test('server-side apply by KubernetesObjectApi, of built-in and custom kinds', async () => {
    const ns = await namespace()
    const objects = KubernetesObjectApi.makeApiClient(kubeConfig)
    const apply = (spec: object) =>
      objects.patch({ ...spec } as never, undefined, undefined, 'tester', undefined, PatchStrategy.ServerSideApply)
    const config = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'm', namespace: ns } }
    await apply({ ...config, data: { a: '1', b: '1' } })
    await apply({ ...config, data: { b: '2' } })
    expect((await core.readNamespacedConfigMap({ namespace: ns, name: 'm' })).data).toStrictEqual({ b: '2' })
    const policy = {
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'p', namespace: ns },
      spec: { action: 'DENY' },
    }
    await apply(policy)
    const custom = kubeConfig.makeApiClient(CustomObjectsApi)
    const where = { group: 'security.istio.io', version: 'v1', namespace: ns, plural: 'authorizationpolicies' }
    expect(await custom.getNamespacedCustomObject({ ...where, name: 'p' })).toMatchObject({ ...policy, metadata: { generation: 1 } })
    const list = (await custom.listNamespacedCustomObject(where)) as { items: object[] }
    expect(list.items).toMatchObject([policy])
    const strategic = custom.patchNamespacedCustomObject({ ...where, name: 'p', body: { spec: {} } }, as(PatchStrategy.StrategicMergePatch))
    expect(await failure(strategic)).toMatchObject({ code: 415 })
    await objects.delete(policy)
    expect(await failure(custom.getNamespacedCustomObject({ ...where, name: 'p' }))).toMatchObject({
      code: 404,
      message: 'authorizationpolicies.security.istio.io "p" not found',
    })
  })

  test('lists in pages show the state of the first page', async () => {
    const ns = await namespace()
    for (const name of ['a', 'b', 'c', 'd', 'e']) await core.createNamespacedSecret({ namespace: ns, body: { metadata: { name } } })
    const first = await core.listNamespacedSecret({ namespace: ns, limit: 2 })
    expect(first.metadata!.remainingItemCount).toBe(3)
    await core.deleteNamespacedSecret({ namespace: ns, name: 'd' })
    await core.createNamespacedSecret({ namespace: ns, body: { metadata: { name: 'cc' } } })
    const second = await core.listNamespacedSecret({ namespace: ns, limit: 10, _continue: first.metadata!._continue! })
    expect([...first.items, ...second.items].map((s) => s.metadata!.name)).toStrictEqual(['a', 'b', 'c', 'd', 'e'])
    expect(second.metadata!.resourceVersion).toBe(first.metadata!.resourceVersion)
    for (let i = 0; i < 210; i++) server.store.patch(resources.secrets, { namespace: ns, name: 'a' }, { data: { i: String(i) } })
    expect(await failure(core.listNamespacedSecret({ namespace: ns, _continue: first.metadata!._continue! }))).toMatchObject({
      code: 410,
      reason: 'Expired',
    })
  })

  test('a collection is deleted by selector, a namespace with its contents', async () => {
    const ns = await namespace()
    for (const name of ['a', 'b']) await core.createNamespacedConfigMap({ namespace: ns, body: { metadata: { name, labels: { name } } } })
    await core.deleteCollectionNamespacedConfigMap({ namespace: ns, labelSelector: 'name=a' })
    const left = await core.listNamespacedConfigMap({ namespace: ns, labelSelector: 'name' })
    expect(left.items.map((m) => m.metadata!.name)).toStrictEqual(['b'])
    const gone = new Promise<void>((resolve) => {
      const stop = server.store.watch(resources.namespaces, { fieldSelector: `metadata.name=${ns}` }, ({ type }) => {
        if (type !== 'DELETED') return
        stop()
        resolve()
      })
    })
    await core.deleteNamespace({ name: ns })
    await gone
    expect(server.store.list(resources.configmaps, { namespace: ns })).toHaveLength(0)
  })

  test('services get addresses of the CIDR, one of their own or the one they ask for', async () => {
    const ns = await namespace()
    const create = (name: string, spec: object) =>
      core.createNamespacedService({ namespace: ns, body: { metadata: { name }, spec: { ports: [{ port: 80 }], ...spec } } })
    const [a, b] = [await create('a', {}), await create('b', { clusterIP: '10.96.0.10' })]
    expect(a.spec).toMatchObject({
      clusterIP: expect.stringMatching(/^10\.96\.\d+\.\d+$/),
      type: 'ClusterIP',
      ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
    })
    expect(b.spec!.clusterIPs).toStrictEqual(['10.96.0.10'])
    expect((await create('headless', { clusterIP: 'None' })).spec!.clusterIP).toBe('None')
    expect(await failure(create('c', { clusterIP: '10.96.0.10' }))).toMatchObject({
      code: 422,
      message: expect.stringContaining('already allocated'),
    })
    expect(await failure(create('d', { clusterIP: '10.1.0.1' }))).toMatchObject({
      code: 422,
      message: expect.stringContaining('10.96.0.0/16'),
    })
    const kubernetes = await core.readNamespacedService({ namespace: 'default', name: 'kubernetes' })
    expect(kubernetes.spec!.clusterIP).toBe('10.96.0.1')
    expect((await core.readNamespacedEndpoints({ namespace: 'default', name: 'kubernetes' })).subsets![0]!.addresses![0]!.ip).toBe(
      '172.30.0.1',
    )
  })

  test('logs of a container', async () => {
    const ns = await namespace()
    await core.createNamespacedPod({ namespace: ns, body: pod('a') })
    expect(await core.readNamespacedPodLog({ namespace: ns, name: 'a' })).toBe('a/c\ntwo\n')
    expect(await core.readNamespacedPodLog({ namespace: ns, name: 'a', tailLines: 1, timestamps: true })).toBe('2026-01-02T03:04:06Z two\n')
    expect(await failure(core.readNamespacedPodLog({ namespace: ns, name: 'a', container: 'x' }))).toMatchObject({ code: 400 })
  })
})
