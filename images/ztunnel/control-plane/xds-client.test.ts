import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { type CaFiles, generateCa } from '../../lib/ca.ts'
import { typeUrls } from '../../lib/xds/messages.ts'
import type { Log } from '../log.ts'
import { MeshState } from '../state/store.ts'
import { ControlPlane, policyResource, type Stream, serviceResource, workloadResource } from '../testbed/control-plane.ts'
import { controlPlaneSettings } from './settings.ts'
import { XdsClient } from './xds-client.ts'

let files: CaFiles
beforeAll(async () => {
  files = await generateCa()
})

let dir: string
let plane: ControlPlane
let state: MeshState
let changes: number
let lines: { level: string; message: string; fields: Record<string, unknown> }[]
const events = { terminated: vi.fn(), message: vi.fn() }
let logged: () => void = () => {}
const clients: XdsClient[] = []

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'everyhop-xds-'))
  plane = new ControlPlane(files, dir)
  await plane.start()
  state = new MeshState()
  changes = 0
  state.on('changed', () => changes++)
  lines = []
  vi.clearAllMocks()
})
afterEach(() => {
  for (const client of clients.splice(0)) client.close()
  plane.stop()
  rmSync(dir, { recursive: true })
})

const log: Log = (level, _scope, message, fields = {}) => {
  lines.push({ level, message, fields })
  logged()
}

/** The next line with this message, from the n-th on. */
async function line(message: string, from = 0) {
  for (;;) {
    const found = lines.slice(from).find((l) => l.message === message)
    if (found) return found
    await new Promise<void>((resolve) => (logged = resolve))
  }
}

function connect(env: Record<string, string> = {}): XdsClient {
  const problems: string[] = []
  const settings = controlPlaneSettings({ ...plane.env, ISTIO_META_CLUSTER_ID: 'east', 'XDS_HEADER_x-team': 'blue', ...env }, problems)
  expect(problems).toEqual([])
  const client = new XdsClient({
    server: settings.xds!,
    tokenPath: settings.tokenPath,
    node: {
      ip: '10.0.0.9',
      podName: 'ztunnel-1',
      podNamespace: 'istio-system',
      nodeName: 'n1',
      clusterId: 'east',
      metadata: settings.nodeMetadata,
    },
    state,
    log,
    events,
  })
  clients.push(client)
  client.start()
  return client
}

const sleep = {
  uid: 'c//Pod/demo/sleep',
  name: 'sleep',
  namespace: 'demo',
  addresses: [Uint8Array.of(10, 0, 0, 1)],
  tunnelProtocol: 'HBONE',
} as const
const httpbin = { ...sleep, uid: 'c//Pod/demo/httpbin', name: 'httpbin', addresses: [Uint8Array.of(10, 0, 0, 2)] } as const
const web = { name: 'web', namespace: 'demo', hostname: 'web.demo.svc.cluster.local', ports: [{ servicePort: 80, targetPort: 8080 }] }
const deny = { name: 'deny', namespace: 'demo', action: 'DENY', scope: 'NAMESPACE' } as const

const addresses = (stream: Stream, resources: ReturnType<typeof workloadResource>[], removedResources: string[] = []) =>
  stream.push({ typeUrl: typeUrls.address, resources, removedResources })
const policies = (stream: Stream, resources: ReturnType<typeof policyResource>[]) =>
  stream.push({ typeUrl: typeUrls.authorization, resources })

test('it subscribes to all of both types, says who it is, and shows its token, cluster and headers', async () => {
  connect()
  const stream = await plane.stream()
  const requests = [await stream.request(0), await stream.request(1)]
  expect(requests.map((r) => r.typeUrl)).toEqual([typeUrls.address, typeUrls.authorization])
  for (const request of requests) {
    expect(request).toMatchObject({
      resourceNamesSubscribe: [],
      resourceNamesUnsubscribe: [],
      initialResourceVersions: {},
      responseNonce: '',
    })
    expect(request.node).toMatchObject({
      id: 'ztunnel~10.0.0.9~ztunnel-1.istio-system~istio-system.svc.cluster.local',
      metadata: { NAME: 'ztunnel-1', NAMESPACE: 'istio-system', INSTANCE_IPS: '10.0.0.9', NODE_NAME: 'n1', CLUSTER_ID: 'east' },
    })
  }
  expect(stream.metadata).toMatchObject({ authorization: 'Bearer token-1', clusterid: 'east', 'x-team': 'blue' })
})

test('it is ready when a response of each type, even an empty one, was acknowledged', async () => {
  let ready = false
  void connect().ready.then(() => {
    ready = true
  })
  const stream = await plane.stream()
  const ack = await addresses(stream, [workloadResource(sleep)])
  expect(ack).toMatchObject({ typeUrl: typeUrls.address })
  expect(ack.errorDetail).toBeUndefined()
  expect(ready).toBe(false)
  await policies(stream, [])
  await vi.waitFor(() => expect(ready).toBe(true), 10_000)
  expect(state.workloadAt('', '10.0.0.1')).toMatchObject({
    uid: sleep.uid,
    protocol: 'HBONE',
    serviceAccount: 'default',
    trustDomain: 'cluster.local',
  })
})

test('a response is one change of the mesh, and is told with the names in it', async () => {
  connect()
  const stream = await plane.stream()
  await addresses(stream, [workloadResource(sleep), workloadResource(httpbin), serviceResource(web)])
  expect(changes).toBe(1)
  await addresses(
    stream,
    [workloadResource({ ...sleep, node: 'n2' }, '2')],
    [httpbin.uid, 'demo/web.demo.svc.cluster.local', 'never/known'],
  )
  expect(changes).toBe(2)
  expect([...state.workloads.keys(), ...state.services.keys()]).toEqual([sleep.uid])
  expect(state.workloads.get(sleep.uid)?.node).toBe('n2')
  expect(lines.filter((l) => l.message === 'received response')).toMatchObject([
    {
      level: 'info',
      fields: { type_url: typeUrls.address, size: 3, removes: 0, put: `${sleep.uid},${httpbin.uid},demo/${web.hostname}`, removed: '' },
    },
    { fields: { size: 1, removes: 3, put: sleep.uid, removed: `${httpbin.uid},demo/${web.hostname},never/known` } },
  ])
})

test('more than 50 names are counted', async () => {
  connect()
  const stream = await plane.stream()
  await addresses(
    stream,
    Array.from({ length: 51 }, (_, i) => workloadResource({ ...sleep, uid: `u${i}` })),
  )
  expect(await line('received response')).toMatchObject({ fields: { size: 51, put: '51 names' } })
})

test('a bad resource is refused by name with the reason, its former version and all good ones stay', async () => {
  const client = connect()
  let ready = false
  void client.ready.then(() => {
    ready = true
  })
  const stream = await plane.stream()
  await policies(stream, [])
  await addresses(stream, [workloadResource(sleep)])
  await vi.waitFor(() => expect(ready).toBe(true), 10_000)
  const nack = await addresses(stream, [
    workloadResource({ ...sleep, addresses: [Uint8Array.of(1, 2, 3)] }, '2'),
    workloadResource(httpbin),
    { ...serviceResource(web), resource: { typeUrl: typeUrls.address, value: Buffer.from([0xff]) } },
  ])
  expect(nack.errorDetail?.code).toBe(3)
  expect(nack.errorDetail?.message).toContain(
    `${sleep.uid}: addresses[0]: an address of 3 bytes, expected 4 or 16; demo/${web.hostname}: istio.workload.Address`,
  )
  expect([...state.workloads.values()].map((w) => [w.name, w.workloadIps])).toEqual([
    ['sleep', ['10.0.0.1']],
    ['httpbin', ['10.0.0.2']],
  ])
  expect(await line('resources not usable, keeping what was known of them')).toMatchObject({ level: 'error' })
})

test('a first response that is not all usable does not make it ready; the next good one does', async () => {
  const ready = vi.fn()
  void connect().ready.then(ready)
  const stream = await plane.stream()
  await addresses(stream, [])
  const bad = await policies(stream, [policyResource({ ...deny, scope: 9 as never })])
  expect(bad.errorDetail?.message).toBe('demo/deny: scope: unknown value 9')
  expect(ready).not.toHaveBeenCalled()
  expect((await policies(stream, [policyResource(deny)])).errorDetail).toBeUndefined()
  await vi.waitFor(() => expect(ready).toHaveBeenCalled(), 10_000)
})

test('a type that was not asked for is refused', async () => {
  connect()
  const nack = await (await plane.stream()).push({ typeUrl: 'type.googleapis.com/x.Y' })
  expect(nack.errorDetail).toMatchObject({ code: 3, message: 'unknown type type.googleapis.com/x.Y' })
})

test('while the control plane is away the mesh stays as it was; after it is back it hears what ztunnel knows, and only what it takes back goes', async () => {
  connect()
  const first = await plane.stream()
  await addresses(first, [workloadResource(sleep, 'v1'), workloadResource(httpbin, 'v7'), serviceResource(web, 'v3')])
  await policies(first, [policyResource(deny, 'p1')])
  const port = plane.port
  plane.stop()
  await vi.waitFor(
    () => expect(lines.filter((l) => l.message.startsWith('stream to the control plane ended')).length).toBeGreaterThan(4),
    10_000,
  )
  const tries = lines.filter((l) => l.message.startsWith('stream to the control plane ended'))
  expect(tries.slice(0, 5).map((l) => l.fields.delay)).toEqual(['10ms', '20ms', '40ms', '80ms', '160ms'])
  expect(tries[2]!.fields.error).toContain('ECONNREFUSED')
  expect(state.workloads.size + state.services.size + state.policies.size).toBe(4)

  writeFileSync(join(dir, 'token'), 'token-2')
  await plane.start()
  expect(plane.port).toBe(port)
  const second = await plane.stream(1)
  expect(second.metadata.authorization).toBe('Bearer token-2')
  const known = [await second.request(0), await second.request(1)].map((r) => ({ ...r.initialResourceVersions }))
  expect(known).toEqual([{ [sleep.uid]: 'v1', [httpbin.uid]: 'v7', [`demo/${web.hostname}`]: 'v3' }, { 'demo/deny': 'p1' }])
  await addresses(second, [], [httpbin.uid])
  await policies(second, [])
  expect([...state.workloads.keys()]).toEqual([sleep.uid])
  expect(state.policies.size).toBe(1)
  expect(events.terminated.mock.calls[0]).toEqual(['Error'])
  expect(events.terminated).toHaveBeenLastCalledWith('ConnectionError')
})

test('a stream that ends in good order is asked for again at once', async () => {
  connect()
  const first = await plane.stream()
  await addresses(first, [])
  first.end()
  await plane.stream(1)
  expect(events.terminated).toHaveBeenCalledWith('Complete')
})

test.each([
  ['a server of another CA', async () => void (await replaceRoot(dir)), {}, /self.signed|unable to verify|certificate/i],
  ['a server under another name', async () => {}, { ALT_XDS_HOSTNAME: 'istiod.elsewhere' }, /altnames|does not match/i],
  ['a missing token', async () => rmSync(join(dir, 'token')), {}, /service-account token: .*token cannot be read: ENOENT/],
  ['an empty token', async () => writeFileSync(join(dir, 'token'), '\n'), {}, /service-account token: .*token is empty/],
  [
    'missing roots',
    async () => rmSync(join(dir, 'root-cert.pem')),
    {},
    /root certificates of the control plane: .*root-cert.pem cannot be read: ENOENT/,
  ],
])('%s: told, and tried again', async (_name, arrange, env, error) => {
  await arrange()
  connect(env)
  expect((await line('stream to the control plane ended, connecting again')).fields.error).toMatch(error)
})

async function replaceRoot(to: string): Promise<void> {
  writeFileSync(join(to, 'root-cert.pem'), (await generateCa())['root-cert.pem'])
}

test('the certificate may bear the alternative name', async () => {
  plane.stop()
  await plane.start({ dns: 'istiod.istio-system.svc' })
  connect({ ALT_XDS_HOSTNAME: 'istiod.istio-system.svc' })
  expect((await (await plane.stream()).request(0)).typeUrl).toBe(typeUrls.address)
})

test('nothing is done after close', async () => {
  const client = connect()
  const stream = await plane.stream()
  client.close()
  await stream.ended.promise
  connect({ 'XDS_HEADER_x-team': 'second' })
  expect((await plane.stream(1)).metadata['x-team']).toBe('second')
  expect(lines.filter((l) => l.message !== 'connecting')).toEqual([])
})
