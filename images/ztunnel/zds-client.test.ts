import { closeSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { listenSeqpacket } from '../lib/seqpacket.ts'
import { maxMessage } from '../lib/zds.ts'
import { PodManager } from './manager.ts'
import { Metrics } from './metrics/metrics.ts'
import type { Placement } from './placement.ts'
import type { PodProxy } from './proxy.ts'
import { releaseNamed } from './release.ts'
import { Agent } from './testbed/ztunnel.ts'
import { ZdsClient } from './zds-client.ts'

let dir: string
let listener: { close(): void }
let client: ZdsClient
let manager: PodManager
let metrics: Metrics
const agents: Agent[] = []
let wake: () => void
let events: string[]
let failing: Set<string>
let logged: string[]

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'everyhop-zds-'))
  events = []
  logged = []
  failing = new Set()
  wake = () => {}
  const log = (level: string, _scope: string, message: string, fields?: object) =>
    void logged.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`)
  metrics = new Metrics()
  manager = new PodManager({
    release: releaseNamed('today'),
    log,
    metrics,
    drainDeadline: 1000,
    retryEvery: 20,
    place: (netns) => ({ close: () => closeSync(netns) }) as Placement,
    start: async (info) => {
      if (failing.has(info!.name)) throw new Error('failed to bind to address [::]:15001: errno 98')
      events.push(`start ${info!.name}`)
      return { stop: () => events.push(`stop ${info!.name}`), drain: async () => {} } as unknown as PodProxy
    },
  })
  client = new ZdsClient(join(dir, 's'), manager, log, { infoRequired: true })
  listen()
})

afterEach(() => {
  client.stop()
  listener.close()
  for (const agent of agents.splice(0)) agent.close()
  for (const pod of manager.pods.values()) pod.placement.close()
  void manager.shutdown(0)
  rmSync(dir, { recursive: true })
})

function listen(): void {
  listener = listenSeqpacket(join(dir, 's'), maxMessage, (socket) => {
    agents.push(new Agent(socket))
    wake()
  })
}

async function agent(n = 0): Promise<Agent> {
  while (!agents[n]) await new Promise<void>((resolve) => (wake = resolve))
  return agents[n]
}

const info = (name: string) => ({ uid: `uid-${name}`, workloadInfo: { name, namespace: 'demo', serviceAccount: name } })
const self = '/proc/self/ns/net'
const other = '/proc/self/ns/uts'

async function add(to: Agent, name: string, namespace = self): Promise<string | undefined> {
  const fd = openSync(namespace, 'r')
  const ack = to.send({ add: info(name) }, [fd])
  closeSync(fd)
  return ack
}

/** Descriptors of namespaces that this process has open, beyond those of the sockets library. */
function namespaces(): number {
  let n = 0
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      if (/^(net|uts):/.test(readlinkSync(`/proc/self/fd/${fd}`))) n++
    } catch {
      // The descriptor of the directory itself is gone by now.
    }
  }
  return n
}

test('hello, snapshot, later add and del; readiness and metrics follow', async () => {
  client.start()
  const a = await agent()
  expect(await a.hello).toBe(1)
  expect(manager.ready).toBe(false)
  expect(await add(a, 'one')).toBeUndefined()
  expect(manager.ready).toBe(false)
  expect(await a.send({ snapshotSent: {} })).toBeUndefined()
  expect(manager.ready).toBe(true)
  expect(await add(a, 'two')).toBeUndefined()
  expect(await a.send({ del: { uid: 'uid-one' } })).toBeUndefined()
  expect(events).toEqual(['start one', 'start two', 'stop one'])
  expect(metrics.text()).toContain('workload_manager_proxies_started_total 2\n')
  expect(metrics.text()).toContain('workload_manager_proxies_stopped_total 1\n')
  expect(metrics.text()).toContain('workload_manager_active_proxy_count 1\n')
  expect(logged).toContain('info pod received, starting proxy {"uid":"uid-one","name":"one","namespace":"demo"}')
  expect(logged).toContain('info received snapshot sent {}')
  expect(logged).toContain('info pod delete request, shutting down proxy {"uid":"uid-one"}')
})

test('the same pod with the same namespace is left alone; with another one it is replaced', async () => {
  const before = namespaces()
  client.start()
  const a = await agent()
  await add(a, 'one')
  await add(a, 'one')
  expect(events).toEqual(['start one'])
  expect(namespaces()).toBe(before + 1)
  await add(a, 'one', other)
  expect(events).toEqual(['start one', 'stop one', 'start one'])
  expect(namespaces()).toBe(before + 1)
})

test('the agent goes away: proxies go on, not ready; the next snapshot keeps, keeps by name, and drops the rest', async () => {
  client.start()
  const first = await agent()
  for (const name of ['one', 'two', 'three']) await add(first, name)
  await first.send({ snapshotSent: {} })
  first.close()
  const second = await agent(1)
  expect(manager.ready).toBe(false)
  expect(events).toEqual(['start one', 'start two', 'start three'])
  await add(second, 'one')
  expect(await second.send({ keep: { uid: 'uid-two' } })).toBeUndefined()
  await second.send({ snapshotSent: {} })
  expect(events.slice(3)).toEqual(['stop three'])
  expect(manager.ready).toBe(true)
  expect(logged).toContain('info pod keep received. will not delete it when snapshot is sent {"uid":"uid-two"}')
})

test('a proxy that cannot start is acknowledged with the error, the stream goes on, and it is tried again', async () => {
  failing.add('bad')
  client.start()
  const a = await agent()
  expect(await add(a, 'bad')).toBe('failed to start proxy for uid-bad: failed to bind to address [::]:15001: errno 98')
  expect(await add(a, 'good')).toBeUndefined()
  await a.send({ snapshotSent: {} })
  expect(manager.ready).toBe(false)
  expect(metrics.text()).toContain('workload_manager_pending_proxy_count 1\n')
  failing.clear()
  await vi.waitFor(() => expect(manager.ready).toBe(true), 10_000)
  expect(events).toEqual(['start good', 'start bad'])
})

test('a pending pod that is deleted is not tried again', async () => {
  failing.add('bad')
  client.start()
  const a = await agent()
  await add(a, 'bad')
  expect(await a.send({ del: { uid: 'uid-bad' } })).toBeUndefined()
  expect(manager.pods.size).toBe(0)
  await a.send({ snapshotSent: {} })
  expect(manager.ready).toBe(true)
})

test.each([
  ['bytes that are no protobuf', () => Buffer.from([0xff, 0xff, 0xff]), 0, /^ZDS WorkloadRequest/],
  ['no payload', () => Buffer.from([0x12, 0x00, 0x7a, 0x00]).subarray(2), 0, /no payload/],
  ['an empty add', () => Buffer.from([0x0a, 0x00]), 1, /^ZDS add without a uid$/],
  [
    'add without a descriptor',
    () => Buffer.from([0x0a, 3, 0x0a, 1, 0x75]),
    0,
    /^ZDS add for u carries 0 descriptors, expected the network namespace$/,
  ],
  ['add with two', () => Buffer.from([0x0a, 3, 0x0a, 1, 0x75]), 2, /carries 2 descriptors/],
  ['add without workload_info', () => Buffer.from([0x0a, 3, 0x0a, 1, 0x75]), 1, /^workload_info is required but not present$/],
  ['del with a descriptor', () => Buffer.from([0x12, 3, 0x12, 1, 0x75]), 1, /^ZDS message other than add carries a descriptor$/],
  ['more than 1024 bytes', () => Buffer.alloc(1025, 0x0a), 0, /^ZDS message is longer than 1024 bytes/],
])('malformed: %s → error in the ack, a new stream, no descriptor kept, proxies go on', async (_name, packet, fds, message) => {
  client.start()
  const a = await agent()
  await add(a, 'one')
  const before = namespaces()
  const sent = Array.from({ length: fds }, () => openSync(self, 'r'))
  const ack = a.sendRaw(packet(), sent)
  for (const fd of sent) closeSync(fd)
  expect(await ack).toMatch(message)
  await a.ended.promise
  const second = await agent(1)
  expect(await second.hello).toBe(1)
  expect(namespaces()).toBe(before)
  expect(events).toEqual(['start one'])
})

test('keep or a second snapshot after the snapshot breaks the protocol', async () => {
  client.start()
  const a = await agent()
  await a.send({ snapshotSent: {} })
  expect(await a.send({ keep: { uid: 'x' } })).toBe('pod keep received after snapshot')
  const b = await agent(1)
  await b.send({ snapshotSent: {} })
  expect(await b.send({ snapshotSent: {} })).toBe('pod snapshot received already')
})

test('without an agent it tries again, later each time', async () => {
  listener.close()
  await new Promise((resolve) => setImmediate(resolve))
  client.start()
  await vi.waitFor(() => expect(logged.filter((l) => l.includes('failed to connect')).length).toBeGreaterThan(2), 10_000)
  expect(logged[0]).toContain(`failed to connect to the Istio CNI node agent over ${join(dir, 's')}`)
  listen()
  expect(await (await agent()).hello).toBe(1)
})
