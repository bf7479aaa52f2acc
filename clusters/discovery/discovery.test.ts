import { connect as connectHttp2 } from 'node:http2'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { typeUrls } from '../../images/lib/xds/messages.ts'
import { resources } from '../lab/apiserver/store.ts'
import { type Program, startTestMesh, type TestMesh } from './testing.ts'
import { decoded, TestClient, type TestStream } from './testing-client.ts'

const proxy = { name: 'ztunnel-one', namespace: 'istio-system', account: 'ztunnel' }
let mesh: TestMesh
let program: Program
let clients: TestClient[] = []
beforeAll(async () => {
  mesh = await startTestMesh()
  mesh.namespace('demo')
  mesh.pod('ztunnel-one', { namespace: 'istio-system', node: 'one', ip: '10.0.0.1', account: 'ztunnel' })
  mesh.pod('sleep', { namespace: 'demo', node: 'one', ip: '10.0.1.1' })
  mesh.pod('httpbin', { namespace: 'demo', node: 'two', ip: '10.0.2.1' })
  const ports = [{ name: 'http', port: 80, targetPort: 8080 }]
  mesh.api.store.create(resources.services, {
    metadata: { name: 'httpbin', namespace: 'demo' },
    spec: { selector: { app: 'httpbin' }, ports },
  })
  program = await mesh.start()
})
afterAll(() => mesh?.[Symbol.asyncDispose]())
afterEach(() => {
  for (const client of clients) client.close()
  clients = []
})

function connect(): TestClient {
  const client = new TestClient(program.port, mesh.rootPem(), mesh.token(proxy))
  clients.push(client)
  return client
}

async function subscribed(before?: TestStream): Promise<TestStream> {
  const stream = connect().open()
  stream.subscribe(before)
  await stream.begun()
  return stream
}

const label = (pod: string, labels: Record<string, string | null>) =>
  mesh.api.store.patch(resources.pods, { namespace: 'demo', name: pod }, { metadata: { labels } })

test('a client that asks for everything hears of all workloads and services, and that there are no policies', async () => {
  const stream = await subscribed()
  expect([...stream.has.address.keys()].sort()).toEqual([
    'Kubernetes//Pod/demo/httpbin',
    'Kubernetes//Pod/demo/sleep',
    'Kubernetes//Pod/istio-system/ztunnel-one',
    'Kubernetes/discovery.k8s.io/EndpointSlice/default/kubernetes/172.30.0.1',
    'default/kubernetes.default.svc.cluster.local',
    'demo/httpbin.demo.svc.cluster.local',
  ])
  expect(stream.responses.filter((r) => r.typeUrl === typeUrls.authorization)).toMatchObject([{ resources: [], removedResources: [] }])
})

test('one pod that changes is one resource to each client, and nothing else', async () => {
  const [one, two] = await Promise.all([subscribed(), subscribed()])
  for (const stream of [one, two]) stream.responses.length = 0
  label('sleep', { version: 'v2' })
  for (const stream of [one, two]) {
    const response = await stream.until(() => stream.responses[0])
    expect(response).toMatchObject({ typeUrl: typeUrls.address, removedResources: [] })
    expect(decoded(response)).toMatchObject([{ workload: { name: 'sleep', canonicalRevision: 'v2' } }])
  }
  // What changes nothing that anybody sees is not told: the next change comes right after.
  label('sleep', { 'no-one': 'cares' })
  label('httpbin', { version: 'v3' })
  for (const stream of [one, two]) {
    await stream.until(() => stream.responses[1])
    expect(stream.responses.map((r) => r.resources.map((x) => x.name))).toEqual([
      ['Kubernetes//Pod/demo/sleep'],
      ['Kubernetes//Pod/demo/httpbin'],
    ])
  }
})

test('what goes is removed, with what named it', async () => {
  mesh.pod('late', { namespace: 'demo', node: 'two', ip: '10.0.2.9', labels: { app: 'httpbin' } })
  const uid = 'Kubernetes//Pod/demo/late'
  const stream = await subscribed()
  await stream.until(() => stream.has.address.has(uid))
  mesh.api.store.delete(resources.pods, { namespace: 'demo', name: 'late' }, { gracePeriodSeconds: 0 })
  await stream.until(() => !stream.has.address.has(uid))
  expect(stream.responses.at(-1)).toMatchObject({ typeUrl: typeUrls.address, resources: [], removedResources: [uid] })
})

test('a policy comes before the workload that names it, and leaves after it no longer does', async () => {
  const stream = await subscribed()
  stream.responses.length = 0
  const { store } = mesh.api
  const spec = { selector: { matchLabels: { app: 'httpbin' } }, action: 'DENY', rules: [{}] }
  store.create(resources.authorizationpolicies, { metadata: { name: 'deny', namespace: 'demo' }, spec } as never)
  await stream.until(() => stream.responses.length === 2)
  expect(stream.responses.map(decoded)).toMatchObject([
    [{ name: 'deny', scope: 'WORKLOAD_SELECTOR', action: 'DENY', rules: [{ clauses: [] }] }],
    [{ workload: { name: 'httpbin', authorizationPolicies: ['demo/deny'] } }],
  ])
  store.delete(resources.authorizationpolicies, { namespace: 'demo', name: 'deny' })
  await stream.until(() => stream.responses.length === 4)
  expect(stream.has.authorization.size).toBe(0)
})

test('a client that comes back with what it has gets only what changed while it was away', async () => {
  const before = await subscribed()
  before.cancel()
  label('sleep', { version: 'v7' })
  mesh.api.store.delete(resources.services, { namespace: 'default', name: 'kubernetes' })
  const witness = await subscribed()
  await witness.until(() => !witness.has.address.has('default/kubernetes.default.svc.cluster.local'))
  const after = await subscribed(before)
  const [address] = after.responses.filter((r) => r.typeUrl === typeUrls.address)
  expect(address?.resources.map((r) => r.name)).toEqual(['Kubernetes//Pod/demo/sleep'])
  expect([...(address?.removedResources ?? [])].sort()).toEqual([
    'Kubernetes/discovery.k8s.io/EndpointSlice/default/kubernetes/172.30.0.1',
    'default/kubernetes.default.svc.cluster.local',
  ])
  expect(after.has).toEqual(witness.has)
})

test('on demand: nothing unasked; by name, by address; what is not there is said to be removed, and comes when it comes', async () => {
  const stream = connect().open()
  const typeUrl = typeUrls.address
  stream.send({ typeUrl, resourceNamesSubscribe: ['*'], resourceNamesUnsubscribe: ['*'] })
  expect(await stream.until(() => stream.responses[0])).toMatchObject({ resources: [], removedResources: [] })
  stream.send({ typeUrl, resourceNamesSubscribe: ['/10.0.1.1', 'demo/none.demo.svc.cluster.local', '/10.0.2.77'] })
  expect(await stream.until(() => stream.responses[1])).toMatchObject({
    resources: [{ name: 'Kubernetes//Pod/demo/sleep' }],
    removedResources: ['demo/none.demo.svc.cluster.local', '/10.0.2.77'],
  })
  stream.send({ typeUrl, resourceNamesSubscribe: ['demo/httpbin.demo.svc.cluster.local'] })
  const service = await stream.until(() => stream.responses[2])
  expect(service.resources.map((r) => r.name)).toEqual(['demo/httpbin.demo.svc.cluster.local', 'Kubernetes//Pod/demo/httpbin'])
  mesh.pod('unasked', { namespace: 'demo', node: 'two', ip: '10.0.2.78' })
  mesh.pod('asked', { namespace: 'demo', node: 'two', ip: '10.0.2.77' })
  await stream.until(() => stream.has.address.has('Kubernetes//Pod/demo/asked'))
  expect(stream.has.address.has('Kubernetes//Pod/demo/unasked')).toBe(false)
  // Its answer says that it was heard.
  stream.responses.length = 0
  stream.send({ typeUrl, resourceNamesUnsubscribe: ['/10.0.1.1'], resourceNamesSubscribe: ['/10.0.2.79'] })
  expect(await stream.until(() => stream.responses[0])).toMatchObject({ resources: [], removedResources: ['/10.0.2.79'] })
  label('sleep', { version: 'v9' })
  label('httpbin', { version: 'v9' })
  const last = await stream.until(() => stream.responses[1])
  expect(last.resources.map((r) => r.name)).toEqual(['Kubernetes//Pod/demo/httpbin'])
})

test('what a client refuses is logged and counted, and the rest goes on', async () => {
  const stream = connect().open()
  stream.send({ typeUrl: typeUrls.address, responseNonce: '' })
  const { nonce } = await stream.until(() => stream.responses[0])
  stream.send({ typeUrl: typeUrls.address, responseNonce: nonce, errorDetail: { code: 3, message: 'bad\nthing' } })
  expect(await program.line(/a client refused a push/)).toContain('error="bad\\nthing"')
  const metrics = await (await fetch(`http://127.0.0.1:${program.metricsPort}/metrics`)).text()
  expect(metrics).toContain('pilot_total_xds_rejects{type="type.googleapis.com/istio.workload.Address"} 1')
  label('sleep', { version: 'v10' })
  expect(decoded(await stream.until(() => stream.responses[1]))).toMatchObject([{ workload: { canonicalRevision: 'v10' } }])
})

test.each([
  ['without a token', () => '', /authentication failure/],
  ['with a token that nobody issued', () => 'a.b.c', /authentication failure/],
  [
    'with a token for somebody else',
    () => mesh.token({ name: 'ztunnel-one', namespace: 'istio-system', account: 'ztunnel' }, 'api'),
    /authentication/,
  ],
])('%s nobody is told anything', async (_, token, why) => {
  const client = new TestClient(program.port, mesh.rootPem(), token())
  clients.push(client)
  const stream = client.open()
  stream.subscribe()
  await expect(stream.begun()).rejects.toThrow(why)
  expect(stream.responses).toEqual([])
})

test('a client is of the namespace that its token is for', async () => {
  const client = new TestClient(program.port, mesh.rootPem(), mesh.token({ name: 'sleep', namespace: 'demo' }))
  clients.push(client)
  const stream = client.open()
  stream.subscribe()
  await expect(stream.begun()).rejects.toThrow(/authentication failure/)
})

test('another start of the program sends nothing anew to whoever comes back, and has the same root', async () => {
  const before = await subscribed()
  const root = mesh.rootPem()
  expect(await program.stop()).toBe(0)
  await before.until(() => before.error !== undefined).catch(() => {})
  expect(before.error?.message).toMatch(/UNAVAILABLE/)
  program = await mesh.start()
  const after = await subscribed(before)
  expect(after.responses.map((r) => [...r.resources, ...r.removedResources])).toEqual([[], []])
  expect(mesh.rootPem()).toBe(root)
})

test('a connection that has its age is ended, and who comes back is sent nothing anew', async () => {
  const own = await mesh.start({ KEEPALIVE_MAX_SERVER_CONNECTION_AGE: '300ms' })
  const open = async (before?: TestStream) => {
    const client = new TestClient(own.port, mesh.rootPem(), mesh.token(proxy))
    clients.push(client)
    const stream = client.open()
    stream.subscribe(before)
    await stream.begun()
    return stream
  }
  const before = await open()
  await expect(before.until(() => undefined)).rejects.toThrow()
  const after = await open(before)
  expect(after.responses.map((r) => [...r.resources, ...r.removedResources])).toEqual([[], []])
  expect(await own.stop()).toBe(0)
})

test('who speaks without TLS is told nothing', async () => {
  const session = connectHttp2(`http://127.0.0.1:${program.port}`)
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  session.on('error', () => {})
  session.on('close', resolve)
  let heard = false
  const call = session.request({
    ':method': 'POST',
    ':path': '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
  })
  call.on('error', () => {})
  call.on('response', () => {
    heard = true
  })
  await ended
  expect(heard).toBe(false)
})
