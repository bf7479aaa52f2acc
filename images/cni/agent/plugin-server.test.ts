import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { nodePlatform } from '../plugin/node-platform.ts'
import type { AddEvent } from '../shared/event.ts'
import { memoryLog } from '../testing/namespace.ts'
import { PluginServer } from './plugin-server.ts'

let dir: string
let server: PluginServer
let events: AddEvent[]
let answers: number[]
let log: ReturnType<typeof memoryLog>
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'everyhop-events-'))
  events = []
  answers = []
  log = memoryLog()
  // What a killed agent leaves.
  writeFileSync(join(dir, 'pluginevent.sock'), '')
  const onAdd = async (event: AddEvent) => {
    events.push(event)
    if (event.PodName === 'bad') throw new Error('no ztunnel connection')
  }
  server = new PluginServer({ directory: dir, onAdd, pluginLog: log, onAnswer: (status) => answers.push(status) })
  await server.listen()
})
afterEach(async () => {
  await server.close()
  rmSync(dir, { recursive: true })
})

const post = (socket: string, path: string, body: string) =>
  nodePlatform.overUnixSocket(join(dir, socket), { method: 'POST', path, body, timeoutMs: 2000 })
const event = (more: object = {}) =>
  JSON.stringify({
    Netns: '/var/run/netns/cni-1',
    PodName: 'web',
    PodNamespace: 'demo',
    IPs: [{ Interface: null, Address: { IP: '10.244.1.5', Mask: '////AA==' }, Gateway: '' }],
    ...more,
  })

test('an event is handed on and answered 200, a failure 500 with its words', async () => {
  expect(await post('pluginevent.sock', '/cmdadd', event())).toEqual({ status: 200, body: '' })
  expect(await post('pluginevent.sock', '/cmdadd', event({ PodName: 'bad' }))).toEqual({ status: 500, body: 'no ztunnel connection\n' })
  expect(await post('pluginevent.sock', '/cmdadd', event({ IPs: null }))).toMatchObject({ status: 200 })
  expect(events.map((e) => [e.PodName, e.IPs.length])).toEqual([
    ['web', 1],
    ['bad', 1],
    ['web', 0],
  ])
  expect(answers).toEqual([200, 500, 200])
})

test.each([
  ['nothing', '', /empty request body/],
  ['no JSON', '{', /no JSON/],
  ['no object', '7', /no JSON object/],
  ['no namespace path', event({ Netns: undefined }), /Netns is missing/],
  ['a name that is no text', event({ PodName: 7 }), /PodName is missing or no string/],
  ['addresses that are none', event({ IPs: [{ Address: {} }] }), /IPs must be a list of/],
  ['far too much', `"${'x'.repeat(1024 * 1024)}"`, /longer than/],
])('%s is answered 400 with the reason', async (_, body, message) => {
  const answer = await post('pluginevent.sock', '/cmdadd', body)
  expect(answer.status).toBe(400)
  expect(answer.body).toMatch(message)
  expect(events).toEqual([])
})

test('another path is not found', async () => {
  expect((await post('pluginevent.sock', '/cmddel', event())).status).toBe(404)
})

test("the plugin's lines come out with its own level and fields; what is none is refused", async () => {
  const lines = [
    { level: 'info', time: '2026-11-21T04:01:38.758331Z', msg: 'excluded', pod: 'demo/web' },
    { level: 'error', time: 'x', msg: 'failed' },
  ]
  expect((await post('log.sock', '/log', JSON.stringify(lines.map((l) => JSON.stringify(l))))).status).toBe(200)
  expect(log.lines).toEqual(['info excluded pod=demo/web', 'error failed'])
  expect((await post('log.sock', '/log', '["{"]')).status).toBe(400)
  expect((await post('log.sock', '/log', '{}')).status).toBe(400)
})

test('both sockets may be used by everybody, and are gone after the end', async () => {
  for (const name of ['pluginevent.sock', 'log.sock']) expect(statSync(join(dir, name)).mode & 0o777).toBe(0o666)
  await server.close()
  for (const name of ['pluginevent.sock', 'log.sock']) expect(statSync(join(dir, name), { throwIfNoEntry: false })).toBeUndefined()
})

test('an agent that ends late leaves the sockets of the one that came after it, and then none is left', async () => {
  const next = new PluginServer({ directory: dir, onAdd: async () => {}, pluginLog: log })
  await next.listen()
  await server.close()
  expect(await post('pluginevent.sock', '/cmdadd', event({ PodName: 'bad' }))).toEqual({ status: 200, body: '' })
  expect(await post('log.sock', '/log', '[]')).toMatchObject({ status: 200 })
  await next.close()
  expect(readdirSync(dir)).toEqual([])
})
