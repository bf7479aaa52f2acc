import { once } from 'node:events'
import { createServer as createHttpServer, type Server } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LoadAnswer, LoadEnd, LoadOptions } from '../lib/load-protocol.ts'
import { Loads } from './load.ts'

let server: Server
const sockets = new Set<Socket>()
let onRequest: (body: string, socket: Socket, answer: (text: string) => void) => void
beforeEach(async () => {
  onRequest = (body, _, answer) => answer(body)
  server = createHttpServer(async (req, res) => {
    const body = Buffer.concat(await req.toArray()).toString()
    onRequest(body, req.socket, (text) => res.writeHead(200).end(text))
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterEach(() => {
  for (const socket of sockets) socket.destroy()
  server.close()
})

const options = (more: Partial<LoadOptions> = {}): LoadOptions => ({
  mark: 'markmark',
  host: '127.0.0.1',
  port: more.port ?? (server.address() as AddressInfo).port,
  connections: 'new',
  everyMs: 2,
  atOnce: 50,
  least: 20,
  timeoutMs: 2000,
  ...more,
})

/** A load, its lines as they come, and its end. */
function begin(more: Partial<LoadOptions> = {}, reads = () => true) {
  const loads = new Loads()
  const lines: LoadAnswer[] = []
  const end = loads.start({ id: 'l', load: options(more) }, (line) => {
    lines.push(line as LoadAnswer)
    return reads()
  }) as Promise<LoadEnd>
  return { loads, lines, end }
}

test('each request has a number, a token of its own and a connection of its own, and one line', async () => {
  const peers = new Set<number | undefined>()
  const bodies: string[] = []
  onRequest = (body, socket, answer) => {
    peers.add(socket.remotePort)
    bodies.push(body)
    answer(body)
  }
  const { loads, lines, end } = begin()
  expect(loads.stop({ id: 's', stop: 'l' })).toEqual({ id: 's', ok: true })
  expect(await end).toMatchObject({ id: 'l', load: 'l', ok: true, sent: 20 })
  expect(lines.map((l) => l.seq).sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i))
  expect(lines.every((l) => l.ok)).toBe(true)
  for (const { token, seq } of lines) expect(token).toMatch(new RegExp(`^markmark\\.${String(seq).padStart(6, '0')}\\.[0-9a-f]{16}$`))
  expect(new Set(lines.map((l) => l.token)).size).toBe(20)
  expect(bodies.sort()).toEqual(lines.map((l) => l.token).sort())
  expect(peers.size).toBe(20)
  expect(lines.map((l) => l.localPort).sort()).toEqual([...peers].sort())
})

test('it goes on until it is told to stop', async () => {
  let seen = 0
  const many = Promise.withResolvers<void>()
  onRequest = (body, _, answer) => {
    if (++seen === 60) many.resolve()
    answer(body)
  }
  const { loads, end } = begin({ least: 1 })
  await many.promise
  loads.stop({ id: 's', stop: 'l' })
  expect((await end).sent).toBeGreaterThanOrEqual(60)
})

test('without a pace it sends as soon as one has ended, so many side by side and no more', async () => {
  let open = 0
  let most = 0
  onRequest = (body, _, answer) => {
    most = Math.max(most, ++open)
    setImmediate(() => {
      open--
      answer(body)
    })
  }
  const { loads, lines, end } = begin({ everyMs: 0, atOnce: 4, least: 40 })
  loads.stop({ id: 's', stop: 'l' })
  await end
  expect(most).toBeLessThanOrEqual(4)
  expect(lines.filter((l) => l.ok)).toHaveLength(40)
})

test('while so many are under way as may be, turns are left out: none is numbered, and it goes on when there is room', async () => {
  const waiting: (() => void)[] = []
  const full = Promise.withResolvers<void>()
  onRequest = (body, _, answer) => {
    waiting.push(() => answer(body))
    if (waiting.length === 3) full.resolve()
  }
  const { loads, lines, end } = begin({ atOnce: 3, least: 10, everyMs: 1 })
  loads.stop({ id: 's', stop: 'l' })
  await full.promise
  const turns = performance.now() + 20
  while (performance.now() < turns) await new Promise(setImmediate)
  expect(waiting).toHaveLength(3)
  onRequest = (body, _, answer) => answer(body)
  for (const go of waiting) go()
  expect((await end).sent).toBe(10)
  expect(lines.map((l) => [l.seq, l.ok]).sort((a, b) => Number(a[0]) - Number(b[0]))).toEqual(
    Array.from({ length: 10 }, (_, i) => [i, true]),
  )
})

test('resets, refusals and answers without the token are told as what they are', async () => {
  onRequest = (body, socket, answer) => {
    if (body.includes('.000001.')) socket.resetAndDestroy()
    else if (body.includes('.000003.')) socket.end()
    else answer(body.includes('.000002.') ? 'no' : body)
  }
  const { port } = server.address() as AddressInfo
  const { loads, lines, end } = begin({ least: 5 })
  loads.stop({ id: 's', stop: 'l' })
  await end
  const errors = Object.fromEntries(lines.map((l) => [l.seq, l.error]))
  expect(errors).toEqual({ 0: undefined, 1: 'ECONNRESET', 2: 'EECHO', 3: 'ECLOSED', 4: undefined })
  server.close()
  for (const socket of sockets) socket.destroy()
  const refused = begin({ least: 1, port })
  refused.loads.stop({ id: 's', stop: 'l' })
  await refused.end
  expect(refused.lines.map((l) => l.error)).toEqual(['ECONNREFUSED'])
})

test('it ends when nobody reads its lines any more', async () => {
  const { end } = begin({ least: 1_000_000 }, () => false)
  expect((await end).sent).toBeLessThan(1000)
})

test('kept connections are used in turn and never opened again: how one broke is told once', async () => {
  const peers = new Map<number | undefined, Socket>()
  const all = Promise.withResolvers<void>()
  let count = 0
  onRequest = (body, socket, answer) => {
    peers.set(socket.remotePort, socket)
    if (++count === 30) all.resolve()
    answer(body)
  }
  const { loads, lines, end } = begin({ connections: 3, least: 1 })
  await all.promise
  expect(peers.size).toBe(3)
  // One is reset between two requests, one ended in order; the third goes on.
  const [first, second] = [...peers.values()]
  const [reset, closed] = [first!.remotePort, second!.remotePort]
  first!.resetAndDestroy()
  second!.end()
  const last = Promise.withResolvers<void>()
  onRequest = (body, _, answer) => {
    if (++count > 60) last.resolve()
    answer(body)
  }
  await last.promise
  loads.stop({ id: 's', stop: 'l' })
  await end
  const broken = lines.filter((l) => !l.ok)
  expect(broken.map((l) => [l.localPort, l.error]).sort()).toEqual(
    [
      [reset, 'ECONNRESET'],
      [closed, 'ECLOSED'],
    ].sort(),
  )
  expect(peers.size).toBe(3)
})

test('a kept connection that gets no answer is told as timed out, and the load ends when none is left', async () => {
  const silent = createServer()
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { lines, end } = begin({ connections: 2, least: 1_000_000, timeoutMs: 60, port: (silent.address() as AddressInfo).port })
  silent.on('connection', (socket) => sockets.add(socket))
  expect((await end).sent).toBe(2)
  expect(lines.map((l) => l.error)).toEqual(['ETIMEDOUT', 'ETIMEDOUT'])
  silent.close()
})

test('it rests after so many requests until it is told to stop, and then makes those that are left, on the connections that stood idle', async () => {
  const peers = new Set<number | undefined>()
  const tenth = Promise.withResolvers<void>()
  let served = 0
  onRequest = (body, socket, answer) => {
    peers.add(socket.remotePort)
    if (++served === 10) tenth.resolve()
    answer(body)
  }
  const { loads, lines, end } = begin({ connections: 2, everyMs: 1, restAfter: 10, least: 15 })
  await tenth.promise
  while (lines.length < 10) await new Promise(setImmediate)
  const turns = performance.now() + 20
  while (performance.now() < turns) await new Promise(setImmediate)
  expect(served).toBe(10)
  loads.stop({ id: 's', stop: 'l' })
  expect((await end).sent).toBe(15)
  expect(lines.every((l) => l.ok)).toBe(true)
  expect(peers.size).toBe(2)
})

test('a load whose id is taken is refused; stopping one that is not there too', async () => {
  const { loads, end } = begin({ least: 1 })
  expect(await loads.start({ id: 'l', load: options() }, () => true)).toEqual({ id: 'l', ok: false, error: 'there is a load l already' })
  expect(loads.stop({ id: 's', stop: 'x' })).toEqual({ id: 's', ok: false, error: 'there is no load x' })
  loads.stop({ id: 's', stop: 'l' })
  await end
})
