import type { Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { generateCa } from '../lib/ca.ts'
import { typeUrls, type WorkloadInit } from '../lib/xds/messages.ts'
import { ControlPlane, policyResource, type Stream, workloadResource } from './testbed/control-plane.ts'
import { Bed, echo, exchange, type Pod } from './testbed/network.ts'
import { Ztunnel } from './testbed/ztunnel.ts'

// The real process as a client of a control plane. Tests build on each other in order.
let bed: Bed
let client: Pod
let server: Pod
let zt: Ztunnel
let plane: ControlPlane
let stream: Stream
let own: Pod
/** Not enrolled: the control plane's place, and a stranger to the mesh. */
let istiod: Pod
let away = false
let take: (socket: Socket) => void

const port = 15012
const pods: Record<string, WorkloadInit & { uid: string }> = {}
const pod = (name: string, last: number) => {
  pods[name] = {
    uid: `Kubernetes//Pod/demo/${name}`,
    name,
    namespace: 'demo',
    serviceAccount: name,
    addresses: [Uint8Array.of(10, 79, 0, last)],
    tunnelProtocol: 'HBONE',
    node: 'node-1',
    clusterId: 'Kubernetes',
  }
  return bed.pod(name, `10.79.0.${last}`, true)
}
const push = (names: readonly string[], removedResources: string[] = []) =>
  stream.push({ typeUrl: typeUrls.address, resources: names.map((name) => workloadResource(pods[name]!)), removedResources })
const get = (path: string) => bed.run(own, `curl -s -w '%{http_code}' http://127.0.0.1:${path}`)
const identities = () =>
  (JSON.parse(get('15000/config_dump').slice(0, -3)) as { certificates: { identity: string; state: string }[] }).certificates.map(
    ({ identity, state }) => `${identity.split('/').at(-1)} ${state}`,
  )

/** A connection from a pod, standing: its first bytes have come back. */
async function standing(from: Pod): Promise<Socket> {
  const socket = bed.dial(from, server.ip, 8080)
  await new Promise((resolve) => socket.once('data', resolve))
  return socket
}

beforeAll(async () => {
  bed = new Bed()
  client = pod('client', 2)
  server = pod('server', 3)
  own = bed.pod('own', '10.79.0.9', false)
  istiod = bed.pod('istiod', '10.79.0.8', false)
  zt = new Ztunnel()
  plane = new ControlPlane(await generateCa(), join(zt.dir, 'plane'))
  await plane.start({ accept: (to) => (take = to) })
  await bed.serve(istiod, port, (socket) => (away ? socket.destroy() : take(socket)))
  await zt.start('', {
    bed,
    pod: own,
    env: { ...plane.envFor(`https://${istiod.ip}:${port}`), ALT_XDS_HOSTNAME: 'localhost', ALT_CA_HOSTNAME: 'localhost' },
  })
  const agent = await zt.agent()
  expect(await agent.add(client, 'client')).toBeUndefined()
  expect(await agent.add(server, 'server')).toBeUndefined()
  expect(await agent.send({ snapshotSent: {} })).toBeUndefined()
  await bed.serve(server, 8080, echo)
  stream = await plane.stream()
}, 30_000)

afterEach((context) => {
  if (context.task.result?.state === 'fail') console.error(zt.lines.slice(-12).join('\n'))
})
afterAll(async () => {
  await zt.close()
  plane.stop()
  bed.close()
})

test('it is not ready before a response of each type; then it has the certificates of its node’s pods, and of no others', async () => {
  expect(get('15021/healthz/ready')).toBe('not ready, pending: state manager\n500')
  expect(identities()).toEqual([])
  pods.stranger = { ...pods.client!, uid: 'Kubernetes//Pod/demo/stranger', name: 'stranger', serviceAccount: 'stranger', addresses: [] }
  await push(['client', 'server', 'stranger'])
  expect(get('15021/healthz/ready')).toContain('state manager')
  await stream.push({ typeUrl: typeUrls.authorization })
  await zt.line(
    /\tinfo\txds\treceived response\ttype_url="type\.googleapis\.com\/istio\.security\.Authorization" size=0 removes=0 put="" removed=""$/,
  )
  expect(get('15021/healthz/ready')).toBe('ready\n200')
  await expect.poll(identities).toEqual(['client Available', 'server Available'])
})

test('pods speak with certificates of the control plane’s CA', async () => {
  const from = zt.lines.length
  expect(await exchange(bed.dial(client, server.ip, 8080), 'hello')).toBe('10.79.0.2 hello')
  expect(await zt.line(/direction="inbound"/, from)).toContain('src.identity="spiffe://cluster.local/ns/demo/sa/client"')
})

test('a policy that comes closes what it denies, one that goes lets it in again', async () => {
  const live = await standing(client)
  const clear = await standing(istiod)
  const from = zt.lines.length
  const deny = policyResource({
    name: 'deny',
    namespace: 'demo',
    scope: 'NAMESPACE',
    action: 'DENY',
    rules: [{ clauses: [{ matches: [{ principals: [{ exact: 'cluster.local/ns/demo/sa/client' }] }] }] }],
  })
  await stream.push({ typeUrl: typeUrls.authorization, resources: [deny] })
  await zt.line(/xds\treceived response\t.*put="demo\/deny" removed=""$/, from)
  expect(await zt.line(/connection closed due to policy change/, from)).toContain('direction="inbound"')
  await new Promise((resolve) =>
    live
      .once('close', resolve)
      .on('error', () => {})
      .resume()
      .end(),
  )
  expect(await exchange(clear, 'clear')).toBe('clear')

  const plaintext = await standing(istiod)
  const ended = new Promise((resolve) => plaintext.once('end', resolve).resume())
  const strict = policyResource({
    name: 'strict',
    namespace: 'demo',
    scope: 'NAMESPACE',
    action: 'DENY',
    rules: [{ clauses: [{ matches: [{ notPrincipals: [{ presence: {} }] }] }] }],
  })
  const before = zt.lines.length
  await stream.push({ typeUrl: typeUrls.authorization, resources: [strict], removedResources: ['demo/deny'] })
  expect(await zt.line(/connection closed due to policy change/, before)).toMatch(/src\.addr=10\.79\.0\.8:\d+ dst\.addr=10\.79\.0\.3:8080 /)
  await ended
  expect(await exchange(bed.dial(client, server.ip, 8080), 'mtls')).toBe('10.79.0.2 mtls')
  await stream.push({ typeUrl: typeUrls.authorization, removedResources: ['demo/strict'] })
  await zt.line(/xds\treceived response\t.*put="" removed="demo\/strict"$/, from)
  expect(await exchange(bed.dial(client, server.ip, 8080), 'again')).toBe('10.79.0.2 again')
})

test('the control plane restarts: connections live on, new ones are served while it is away and after, and what it then takes back is gone', async () => {
  const live = await standing(client)
  away = true
  plane.stop()
  const from = zt.lines.length
  for (let i = 0; i < 3; i++) await zt.line(/\twarn\txds\tstream to the control plane ended, connecting again\t/, from + i)
  for (let i = 0; i < 20; i++) expect(await exchange(bed.dial(client, server.ip, 8080), `away ${i}`)).toBe(`10.79.0.2 away ${i}`)
  await plane.start({ accept: (to) => (take = to) })
  away = false
  stream = await plane.stream(1)
  expect(Object.keys((await stream.request(0)).initialResourceVersions)).toHaveLength(3)
  await push(['client', 'server'], ['Kubernetes//Pod/demo/stranger'])
  await stream.push({ typeUrl: typeUrls.authorization })
  expect(get('15021/healthz/ready')).toBe('ready\n200')
  expect(await exchange(bed.dial(client, server.ip, 8080), 'back')).toBe('10.79.0.2 back')
  expect(await exchange(live, 'live')).toBe('live')
  expect(get('15000/config_dump')).not.toContain('stranger')
})

test('a pod that the control plane has not told of yet: its connection waits, is served after 4 s, and closed with the reason after 5 s', async () => {
  const soon = pod('soon', 4)
  const never = pod('never', 5)
  const agent = await zt.agent()
  expect(await agent.add(soon, 'soon')).toBeUndefined()
  expect(await agent.add(never, 'never')).toBeUndefined()
  const from = zt.lines.length
  const began = performance.now()
  const late = exchange(bed.dial(never, server.ip, 8080), 'late').catch(() => 'reset')
  const early = exchange(bed.dial(soon, server.ip, 8080), 'early')
  await new Promise((resolve) => setTimeout(resolve, 4000))
  await push(['soon'])
  expect(await early).toBe('10.79.0.4 early')
  expect(['', 'reset']).toContain(await late)
  expect(performance.now() - began).toBeGreaterThan(4950)
  expect(await zt.line(/\twarn\taccess\tconnection failed\t/, from)).toMatch(
    /src\.addr=10\.79\.0\.5:\d+ dst\.addr=10\.79\.0\.3:8080 direction="outbound" error="failed to fetch information about local workload"$/,
  )
  await push(['never'])
  expect(await exchange(bed.dial(never, server.ip, 8080), 'now')).toBe('10.79.0.5 now')
}, 15_000)

test('a pod that leaves takes its certificate with it', async () => {
  await expect.poll(identities).toEqual(['client Available', 'server Available', 'soon Available', 'never Available'])
  const agent = await zt.agent()
  expect(await agent.send({ del: { uid: 'uid-soon' } })).toBeUndefined()
  expect(identities()).toEqual(['client Available', 'server Available', 'never Available'])
  expect(zt.lines.filter((l) => /unexpected/.test(l))).toEqual([])
})
