import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:https'
import { connect } from 'node:tls'
import {
  ApiException,
  AppsV1Api,
  AuthenticationV1Api,
  CoreV1Api,
  CustomObjectsApi,
  KubeConfig,
  KubernetesObjectApi,
  makeInformer,
  PatchStrategy,
  setHeaderOptions,
  type V1Pod,
  Watch,
} from '@kubernetes/client-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startControllers } from '../controllers/controllers.ts'
import { type ApiServer, createApiServer } from './server.ts'
import { resources } from './store.ts'

let server: ApiServer
let kubeConfig: KubeConfig
let core: CoreV1Api
let stopControllers: () => void

beforeAll(async () => {
  server = await createApiServer({
    listeners: [
      { host: '127.0.0.1', port: 0 },
      { host: '::1', port: 0 },
    ],
    names: ['172.30.0.1'],
    advertise: { address: '172.30.0.1', port: 6443 },
    historySize: 100,
    bookmarkEvery: 20,
    podLog: (pod, container) =>
      `2026-01-02T03:04:05.000000006Z stdout P ${pod.metadata.name}\n2026-01-02T03:04:05.1Z stdout F /${container}\n2026-01-02T03:04:06Z stderr F two\n`,
  })
  stopControllers = startControllers(server.store, { caPem: server.caPem })
  kubeConfig = new KubeConfig()
  kubeConfig.loadFromString(server.kubeconfig(`https://127.0.0.1:${server.ports[0]}`))
  core = kubeConfig.makeApiClient(CoreV1Api)
})
afterAll(async () => {
  stopControllers()
  await server.close()
})

const as = (type: string) => setHeaderOptions('Content-Type', type)
const pod = (name: string, extra: object = {}): V1Pod => ({
  metadata: { name, labels: { app: name } },
  spec: { containers: [{ name: 'c', image: 'everyhop/sleep:dev' }], ...extra },
})
async function namespace(): Promise<string> {
  return (await core.createNamespace({ body: { metadata: { generateName: 'test-' } } })).metadata!.name!
}
/** The Status of a call that must fail. */
async function failure(
  call: Promise<unknown>,
): Promise<{ code: number; reason: string; message: string; details?: { causes?: { field: string }[] } }> {
  const error = await call.then(
    () => expect.fail('the call succeeded'),
    (e: unknown) => e,
  )
  expect(error).toBeInstanceOf(ApiException)
  const { code, body } = error as ApiException<string>
  const status = JSON.parse(body) as { kind: string; code: number; reason: string; message: string }
  expect(status).toMatchObject({ kind: 'Status', status: 'Failure', code })
  return status
}

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
    const conditions = [{ type: 'Ready', status: 'True', lastTransitionTime: new Date() }]
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

describe('errors are Status objects that say what and where', () => {
  test('409 AlreadyExists, 422 with a cause a field, 404 namespace, 403 service account', async () => {
    const ns = await namespace()
    await core.createNamespacedPod({ namespace: ns, body: pod('a') })
    expect(await failure(core.createNamespacedPod({ namespace: ns, body: pod('a') }))).toMatchObject({ code: 409, reason: 'AlreadyExists' })
    const broken = {
      metadata: { name: 'Not_a_name', labels: { 'a b': 'c' } },
      spec: { containers: [{ name: 'c' }, { name: 'c', image: 'i' }] },
    }
    const status = await failure(core.createNamespacedPod({ namespace: ns, body: broken as V1Pod }))
    expect([status.code, status.reason]).toStrictEqual([422, 'Invalid'])
    expect(status.details!.causes!.map((c) => c.field)).toStrictEqual([
      'metadata.name',
      'metadata.labels',
      'spec.containers[0].image',
      'spec.containers[1].name',
    ])
    expect(await failure(core.createNamespacedPod({ namespace: 'nowhere', body: pod('a') }))).toMatchObject({
      code: 404,
      message: 'namespaces "nowhere" not found',
    })
    const forbidden = core.createNamespacedPod({ namespace: ns, body: pod('b', { serviceAccountName: 'who' }) })
    expect(await failure(forbidden)).toMatchObject({ code: 403, message: expect.stringContaining('serviceaccount "who" not found') })
  })

  test('immutable fields', async () => {
    const ns = await namespace()
    await core.createNamespacedPod({ namespace: ns, body: pod('a') })
    const change = core.patchNamespacedPod(
      { namespace: ns, name: 'a', body: { spec: { hostNetwork: true } } },
      as(PatchStrategy.MergePatch),
    )
    expect(await failure(change)).toMatchObject({ code: 422, message: expect.stringContaining('pod updates may not change fields') })
    const apps = kubeConfig.makeApiClient(AppsV1Api)
    const template = { metadata: { labels: { app: 'x' } }, spec: pod('x').spec! }
    await apps.createNamespacedDeployment({
      namespace: ns,
      body: { metadata: { name: 'd' }, spec: { selector: { matchLabels: { app: 'x' } }, template } },
    })
    const patch = { spec: { selector: { matchLabels: { app: 'y' } }, template: { metadata: { labels: { app: 'y' } } } } }
    const status = await failure(apps.patchNamespacedDeployment({ namespace: ns, name: 'd', body: patch }, as(PatchStrategy.MergePatch)))
    expect(status.details!.causes!.map((c) => c.field)).toStrictEqual(['spec.selector'])
  })

  const raw = async (path: string, options: { method?: string; headers?: Record<string, string>; body?: string } = {}) => {
    const sent = request({
      host: '127.0.0.1',
      port: server.ports[0],
      ca: server.caPem,
      path,
      method: options.method ?? 'GET',
      headers: { authorization: `Bearer ${server.adminToken}`, ...options.headers },
    })
    sent.end(options.body)
    const [response] = (await once(sent, 'response')) as [import('node:http').IncomingMessage]
    const text = (await response.toArray()).join('')
    return {
      code: response.statusCode,
      text,
      status: text.startsWith('{') ? (JSON.parse(text) as { message: string; reason: string }) : undefined,
    }
  }
  const json = { 'content-type': 'application/json' }
  const yaml = { 'content-type': 'application/yaml' }

  test.each<[string, string, Parameters<typeof raw>[1], number, string]>([
    ['no token', '/api/v1/pods', { headers: { authorization: '' } }, 401, 'Unauthorized'],
    ['a wrong token', '/api/v1/pods', { headers: { authorization: 'Bearer nonsense' } }, 401, 'Unauthorized'],
    ['an unknown path', '/api/v1/nothings', {}, 404, 'could not find the requested resource'],
    ['a broken escape', '/api/v1/namespaces/%zz', {}, 400, '%-escape'],
    ['JSON that breaks off', '/api/v1/namespaces', { method: 'POST', headers: json, body: '{"metadata":\n{"name": ' }, 400, 'line 2'],
    [
      'YAML with bad indentation',
      '/api/v1/namespaces',
      { method: 'POST', headers: yaml, body: 'metadata:\n  name: a\n b: c\n' },
      400,
      'line 3',
    ],
    ['no body', '/api/v1/namespaces', { method: 'POST', headers: json }, 400, 'empty'],
    ['a list for an object', '/api/v1/namespaces', { method: 'POST', headers: json, body: '[]' }, 400, 'must be an object'],
    [
      'another kind',
      '/api/v1/namespaces',
      { method: 'POST', headers: json, body: '{"kind":"Pod","metadata":{"name":"a"}}' },
      400,
      'v1 Pod',
    ],
    [
      'protobuf',
      '/api/v1/namespaces',
      { method: 'POST', headers: { 'content-type': 'application/vnd.kubernetes.protobuf' }, body: 'k8s' },
      415,
      'application/json',
    ],
    ['a patch of no known type', '/api/v1/namespaces/default', { method: 'PATCH', headers: json, body: '{}' }, 415, 'merge-patch+json'],
    ['a selector that cannot be read', '/api/v1/pods?labelSelector=a%20in%20(', {}, 400, 'label selector'],
    ['a field that cannot be selected', '/api/v1/pods?fieldSelector=spec.x%3D1', {}, 400, 'field label not supported: spec.x'],
    ['a version that is no number', '/api/v1/pods?resourceVersion=x', {}, 400, 'invalid resource version'],
    ['a version of the future', '/api/v1/pods?resourceVersion=99999999', {}, 504, 'Too large resource version'],
    ['a bad continue', '/api/v1/pods?continue=x', {}, 400, 'continue key is not valid'],
    ['a method that is not there', '/api/v1/namespaces/default', { method: 'POST', headers: json, body: '{}' }, 405, 'not supported'],
    [
      'a name that differs from the path',
      '/api/v1/namespaces/default',
      { method: 'PUT', headers: json, body: '{"metadata":{"name":"x"}}' },
      400,
      'does not match',
    ],
  ])('%s', async (_name, path, options, code, message) => {
    const answer = await raw(path, options)
    expect(answer.status).toMatchObject({ kind: 'Status', status: 'Failure', code, message: expect.stringContaining(message) })
    expect(answer.code).toBe(code)
  })

  test('health and version need no token; YAML bodies are read', async () => {
    for (const path of ['/healthz', '/readyz', '/livez'])
      expect(await raw(path, { headers: { authorization: '' } })).toMatchObject({ code: 200, text: 'ok' })
    expect((await raw('/version', { headers: { authorization: '' } })).text).toContain('"gitVersion":"v1.34')
    const created = await raw('/api/v1/namespaces', { method: 'POST', headers: yaml, body: 'metadata:\n  name: from-yaml\n' })
    expect(created.code).toBe(201)
  })
})

describe('watches', () => {
  type Seen = { type: string; name: string | undefined; version: string; annotations?: Record<string, string> }
  /** Watches until `until` holds for what was seen, then closes. */
  async function watch(
    path: string,
    query: Record<string, string | boolean>,
    until: (seen: Seen[]) => boolean,
    begun?: () => void,
  ): Promise<Seen[]> {
    const seen: Seen[] = []
    const controllers: AbortController[] = []
    await new Promise<void>((resolve, reject) => {
      const onEvent = (type: string, object: { code?: number; metadata: Omit<Seen, 'type'> & { resourceVersion: string } }) => {
        const { name, resourceVersion: version, annotations } = object.metadata
        seen.push({ type, name: name ?? (object.code ? String(object.code) : undefined), version, ...(annotations && { annotations }) })
        if (!until(seen)) return
        for (const controller of controllers) controller.abort()
        resolve()
      }
      const done = (error: unknown) => (error ? reject(error) : resolve())
      new Watch(kubeConfig).watch(path, query, onEvent, done).then((controller) => {
        controllers.push(controller)
        begun?.()
      }, reject)
    })
    return [...seen]
  }

  test('goes on from the version of a list, past a break, without loss or repetition', async () => {
    const ns = await namespace()
    const path = `/api/v1/namespaces/${ns}/secrets`
    const create = (name: string) => core.createNamespacedSecret({ namespace: ns, body: { metadata: { name } } })
    await create('before')
    const { metadata } = await core.listNamespacedSecret({ namespace: ns })
    const first = await watch(
      path,
      { resourceVersion: metadata!.resourceVersion! },
      (seen) => seen.length === 2,
      () => void create('a').then(() => create('b')),
    )
    await create('c')
    await core.deleteNamespacedSecret({ namespace: ns, name: 'a' })
    const second = await watch(path, { resourceVersion: first.at(-1)!.version }, (seen) => seen.length === 2)
    expect([...first, ...second].map(({ type, name }) => `${type} ${name}`)).toStrictEqual(['ADDED a', 'ADDED b', 'ADDED c', 'DELETED a'])
    const versions = [...first, ...second].map(({ version }) => Number(version))
    expect(versions).toStrictEqual([...versions].sort((x, y) => x - y))
  })

  test('bookmarks bring a quiet watch forward, so that it can go on after history was forgotten', async () => {
    const ns = await namespace()
    const path = `/api/v1/namespaces/${ns}/configmaps`
    const { metadata } = await core.listNamespacedConfigMap({ namespace: ns })
    const churn = () => {
      for (let i = 0; i < 250; i++) server.store.patch(resources.namespaces, { name: ns }, { metadata: { annotations: { i: String(i) } } })
    }
    let target = Number.POSITIVE_INFINITY
    const seen = await watch(
      path,
      { resourceVersion: metadata!.resourceVersion!, allowWatchBookmarks: true },
      (events) => Number(events.at(-1)?.version ?? 0) >= target,
      () => {
        churn()
        target = Number(server.store.resourceVersion)
      },
    )
    expect(new Set(seen.map(({ type }) => type))).toStrictEqual(new Set(['BOOKMARK']))
    const stale = await watch(path, { resourceVersion: metadata!.resourceVersion! }, () => false)
    expect(stale).toMatchObject([{ type: 'ERROR', name: '410' }])
    const goneOn = await watch(path, { resourceVersion: seen.at(-1)!.version, timeoutSeconds: '1' }, () => false)
    expect(goneOn).toStrictEqual([])
  })

  test('sendInitialEvents: the objects, then a bookmark that marks their end', async () => {
    const ns = await namespace()
    await core.createNamespacedSecret({ namespace: ns, body: { metadata: { name: 'a' } } })
    const query = { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan', allowWatchBookmarks: true }
    const seen = await watch(`/api/v1/namespaces/${ns}/secrets`, query, (events) => events.length === 2)
    expect(seen).toMatchObject([
      { type: 'ADDED', name: 'a' },
      { type: 'BOOKMARK', annotations: { 'k8s.io/initial-events-end': 'true' } },
    ])
  })

  test('an object that leaves the selection is DELETED for that watch, one that enters ADDED', async () => {
    const ns = await namespace()
    await core.createNamespacedSecret({ namespace: ns, body: { metadata: { name: 'a', labels: { on: '1' } } } })
    const label = (value: string | null) =>
      server.store.patch(resources.secrets, { namespace: ns, name: 'a' }, { metadata: { labels: { on: value } } })
    const seen = await watch(
      `/api/v1/namespaces/${ns}/secrets`,
      { labelSelector: 'on=1' },
      (events) => events.length === 4,
      () => {
        label('2')
        label(null)
        label('1')
        server.store.delete(resources.secrets, { namespace: ns, name: 'a' })
      },
    )
    expect(seen.map(({ type }) => type)).toStrictEqual(['ADDED', 'DELETED', 'ADDED', 'DELETED'])
  })

  test('an informer stays in step, through cut connections and forgotten history', async () => {
    const ns = await namespace()
    const create = (name: string) => core.createNamespacedPod({ namespace: ns, body: pod(name) })
    await create('first')
    const informer = makeInformer(kubeConfig, `/api/v1/namespaces/${ns}/pods`, () => core.listNamespacedPod({ namespace: ns }))
    const log: string[] = []
    let check = () => {}
    const until = (line: string) =>
      new Promise<void>((resolve) => {
        check = () => log.includes(line) && resolve()
        check()
      })
    for (const verb of ['add', 'update', 'delete'] as const) {
      informer.on(verb as 'add', (object: V1Pod) => {
        log.push(`${verb} ${object.metadata!.name}${object.metadata!.labels?.x ?? ''}`)
        check()
      })
    }
    await informer.start()
    await until('add first')
    await create('second')
    await until('add second')
    await core.patchNamespacedPod(
      { namespace: ns, name: 'second', body: { metadata: { labels: { x: 'y' } } } },
      as(PatchStrategy.MergePatch),
    )
    await until('update secondy')
    await core.deleteNamespacedPod({ namespace: ns, name: 'first' })
    await until('delete first')
    await informer.stop()
    await create('third')
    for (let i = 0; i < 250; i++) server.store.patch(resources.namespaces, { name: ns }, { metadata: { annotations: { i: String(i) } } })
    await informer.start()
    await until('add third')
    await informer.stop()
    expect(informer.list().map((p) => p.metadata!.name)).toStrictEqual(['second', 'third'])
    expect(log.filter((line) => line.startsWith('add second'))).toHaveLength(1)
  })
})

describe('identities', () => {
  test('a token of a service account is known to the API and to TokenReview, while its pod lives', async () => {
    const ns = await namespace()
    const created = await core.createNamespacedPod({ namespace: ns, body: pod('a', { nodeName: 'node1' }) })
    const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: 'a', uid: created.metadata!.uid! }
    const request = (audiences: string[]) =>
      core.createNamespacedServiceAccountToken({
        namespace: ns,
        name: 'default',
        body: { spec: { audiences, expirationSeconds: 600, boundObjectRef } },
      })
    const { status } = await request(['istio-ca'])
    expect(status!.expirationTimestamp!.getTime()).toBeGreaterThan(Date.now() + 590_000)
    const authentication = kubeConfig.makeApiClient(AuthenticationV1Api)
    const review = async (token: string, audiences?: string[]) =>
      (await authentication.createTokenReview({ body: { spec: { token, ...(audiences && { audiences }) } } })).status!
    expect(await review(status!.token!, ['istio-ca', 'other'])).toMatchObject({
      authenticated: true,
      audiences: ['istio-ca'],
      user: {
        username: `system:serviceaccount:${ns}:default`,
        groups: ['system:serviceaccounts', `system:serviceaccounts:${ns}`, 'system:authenticated'],
        extra: { 'authentication.kubernetes.io/pod-name': ['a'], 'authentication.kubernetes.io/node-name': ['node1'] },
      },
    })
    expect(await review(status!.token!)).toMatchObject({ authenticated: false, error: expect.stringContaining('audiences') })

    const own = await request([])
    const config = new KubeConfig()
    config.loadFromClusterAndUser(kubeConfig.getCurrentCluster()!, { name: 'sa', token: own.status!.token! })
    const client = config.makeApiClient(CoreV1Api)
    expect((await client.listNamespacedPod({ namespace: ns })).items).toHaveLength(1)
    await core.deleteNamespacedPod({ namespace: ns, name: 'a', gracePeriodSeconds: 0 })
    await expect(client.listNamespacedPod({ namespace: ns })).rejects.toMatchObject({ code: 401 })
    expect(await review(status!.token!, ['istio-ca'])).toMatchObject({ authenticated: false, error: expect.stringContaining('is gone') })
    expect(await review('nonsense')).toMatchObject({ authenticated: false })
  })

  test('the certificate is of the CA and names the API as clients in the cluster do, on all listeners', async () => {
    for (const [host, port] of [
      ['127.0.0.1', server.ports[0]!],
      ['::1', server.ports[1]!],
    ] as const) {
      const socket = connect({ host, port, ca: server.caPem, servername: 'kubernetes.default.svc' })
      await once(socket, 'secureConnect')
      const certificate = new X509Certificate(socket.getPeerCertificate().raw)
      expect(certificate.checkHost('kubernetes.default.svc.cluster.local')).toBeDefined()
      for (const ip of ['10.96.0.1', '127.0.0.1', '172.30.0.1']) expect(certificate.checkIP(ip)).toBeDefined()
      socket.destroy()
    }
  })
})
