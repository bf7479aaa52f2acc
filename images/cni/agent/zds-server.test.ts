import { closeSync, fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { FakeZtunnel } from '../testing/fake-ztunnel.ts'
import { memoryLog } from '../testing/namespace.ts'
import { type ProxyWorkload, type ZdsOptions, ZdsServer } from './zds-server.ts'

let dir: string
let log: ReturnType<typeof memoryLog>
let server: ZdsServer
let netns: number
let inode: bigint
const open: FakeZtunnel[] = []
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'everyhop-zds-'))
  log = memoryLog()
  netns = openSync('/proc/self/ns/net', 'r')
  inode = fstatSync(netns, { bigint: true }).ino
})
afterEach(() => {
  for (const z of open.splice(0)) z.socket.close()
  server.close()
  closeSync(netns)
  rmSync(dir, { recursive: true })
})

function start(more: Partial<ZdsOptions> = {}): void {
  server = new ZdsServer({ path: join(dir, 's'), log, workloadInfo: true, snapshot: () => [], ...more })
  server.listen()
}
function connect(hello?: Buffer | null): FakeZtunnel {
  const z = new FakeZtunnel(join(dir, 's'), hello)
  open.push(z)
  return z
}
/** Connected, and its snapshot taken. */
async function ready(): Promise<FakeZtunnel> {
  const z = connect()
  await z.until((r) => r.some(({ message }) => 'snapshotSent' in message))
  return z
}
const info = { name: 'p', namespace: 'demo', serviceAccount: 'sa' }
const workload = (uid: string): ProxyWorkload & { netns: number } => ({ uid, info, netns })

test('in releases that know only UIDs, nothing else is said of a pod', async () => {
  start({ workloadInfo: false, snapshot: () => [workload('a')] })
  const z = await ready()
  await server.add(workload('b'))
  expect(z.received.flatMap(({ message }) => ('add' in message ? [message.add] : []))).toEqual([{ uid: 'a' }, { uid: 'b' }])
})

test('the snapshot: pods with their namespace, keep for those without, then its end', async () => {
  let taken = 0
  start({ snapshot: () => [workload('a'), { uid: 'b', info, netns: undefined }], onSnapshotTaken: () => taken++ })
  const z = await ready()
  expect(z.received).toEqual([
    { message: { add: { uid: 'a', workloadInfo: info } }, netns: inode },
    { message: { keep: { uid: 'b' } }, netns: undefined },
    { message: { snapshotSent: {} }, netns: undefined },
  ])
  await server.add(workload('c'))
  expect(taken).toBe(1)
  expect(log.lines.map((l) => l.replace(/conn_uuid=\S+/, 'conn_uuid=X'))).toEqual([
    'info new ztunnel connected, total connected: 1 conn_uuid=X',
    'info received hello from ztunnel conn_uuid=X version=V1',
  ])
})

test('each message waits for the answer to the one before', async () => {
  start()
  const z = await ready()
  z.answer = () => 'silent'
  const first = server.add(workload('a'))
  const second = server.add(workload('b'))
  await z.until((r) => r.length === 2)
  expect(z.kinds()).toEqual(['snapshotSent', 'add'])
  server.close()
  await expect(first).rejects.toThrow('ztunnel disconnected')
  await expect(second).rejects.toThrow('ztunnel disconnected')
})

test('what is asked for before hello comes after the snapshot', async () => {
  start({ snapshot: () => [workload('a')] })
  const z = connect(null)
  await waitFor(/new ztunnel connected/)
  const early = server.add(workload('b'))
  z.socket.send(Buffer.from([0x08, 0x01]))
  await early
  expect(z.received.map(({ message }) => ('add' in message ? message.add.uid : Object.keys(message)[0]))).toEqual([
    'a',
    'snapshotSent',
    'b',
  ])
})

test('adds go to the newest proxy only, dels to all; when the newest goes, the one before is it again', async () => {
  start()
  const old = await ready()
  const young = await ready()
  await server.add(workload('a'))
  await server.remove('a')
  expect(old.kinds()).toEqual(['snapshotSent', 'del'])
  expect(young.kinds()).toEqual(['snapshotSent', 'add', 'del'])
  young.socket.close()
  await waitFor(/ztunnel disconnected, total connected 1/)
  await server.add(workload('b'))
  expect(old.kinds()).toEqual(['snapshotSent', 'del', 'add'])
})

/** Resolves when a log line matches. */
async function waitFor(re: RegExp): Promise<void> {
  while (!log.lines.some((l) => re.test(l))) await new Promise((resolve) => setImmediate(resolve))
}

test('no proxy, a refusal, and silence are errors that say so; the silent one is dropped', async () => {
  start({ deadlineMs: 50 })
  await expect(server.add(workload('a'))).rejects.toThrow('no ztunnel connection')
  const z = await ready()
  z.answer = () => 'bind: address in use'
  await expect(server.add(workload('a'))).rejects.toThrow('ztunnel refused: bind: address in use')
  expect(server.connected).toBe(1)
  z.answer = () => 'silent'
  await expect(server.add(workload('a'))).rejects.toThrow('timed out after 50 ms waiting for the answer to add')
  await z.closed
  expect(server.connected).toBe(0)
  await server.remove('a')
})

test('a proxy that says no hello in time is dropped', async () => {
  start({ deadlineMs: 50 })
  await connect(null).closed
  expect(log.lines.join('\n')).toMatch(/timed out after 50 ms waiting for hello.*\n.*ztunnel disconnected, total connected 0/)
})

test.each([
  ['a hello that is none', Buffer.from([0x08]), /ZDS ZdsHello: malformed/],
  ['a hello of the wrong type', Buffer.from([0x0a, 0x00]), /version: wire type 2, expected 0/],
  ['a packet that is too long', Buffer.alloc(2000), /longer than 1024 bytes/],
])('%s is named in the log, and the others are served on', async (_, bytes, message) => {
  start()
  const good = await ready()
  const bad = connect(bytes)
  await bad.closed
  await waitFor(message)
  await server.add(workload('a'))
  expect(good.kinds()).toContain('add')
})

test('an answer that nothing was asked for, and descriptors, end the connection', async () => {
  start()
  const a = await ready()
  a.socket.send(Buffer.from([0x0a, 0x00]))
  await a.closed
  const b = await ready()
  b.socket.send(Buffer.from([0x0a, 0x00]), [netns])
  await b.closed
  await waitFor(/a packet with descriptors/)
  expect(log.lines.join('\n')).toMatch(/an answer that nothing was asked for/)
})

test('a pod that cannot be encoded is an error of its own, and the next goes on', async () => {
  start()
  const z = await ready()
  await expect(server.add(workload('x'.repeat(2000)))).rejects.toThrow(/at most 1024/)
  await server.add(workload('a'))
  expect(z.kinds()).toEqual(['snapshotSent', 'add'])
})

test('the caller may close its namespace as soon as the call is made', async () => {
  start()
  const z = await ready()
  const own = openSync('/proc/self/ns/net', 'r')
  const first = server.add(workload('a'))
  const second = server.add({ ...workload('b'), netns: own })
  closeSync(own)
  await Promise.all([first, second])
  expect(z.received.at(-1)).toMatchObject({ message: { add: { uid: 'b' } }, netns: inode })
})
