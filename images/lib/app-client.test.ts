import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { doRequest } from './app-client.ts'
import type { ClientRequest } from './app-protocol.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function listen(server: Server): Promise<number> {
  servers.push(server)
  const { promise, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', resolve)
  await promise
  return (server.address() as AddressInfo).port
}

function request(protocol: 'http' | 'tcp', port: number, more: Partial<ClientRequest> = {}): ClientRequest {
  return { id: 'r1', protocol, host: '127.0.0.1', port, body: 'tökèn', timeoutMs: 5_000, ...more }
}

test('http: a POST on a connection of its own; both ends and times are the real ones', async () => {
  const seen: { method?: string; url?: string; headers: object; peers: (number | undefined)[] } = { headers: {}, peers: [] }
  const port = await listen(
    createHttpServer(async (req, res) => {
      Object.assign(seen, { method: req.method, url: req.url, headers: req.headers })
      seen.peers.push(req.socket.remotePort)
      res.end(Buffer.concat(await req.toArray()))
    }),
  )
  const before = Date.now()
  const first = await doRequest(request('http', port, { host: 'localhost' }))
  const second = await doRequest(request('http', port))
  expect(first).toMatchObject({ id: 'r1', ok: true, status: 200, body: 'tökèn', localAddress: '127.0.0.1', remoteAddress: '127.0.0.1' })
  expect(first.remotePort).toBe(port)
  expect(first.error).toBeUndefined()
  expect(seen).toMatchObject({ method: 'POST', url: '/anything' })
  expect(seen.headers).toMatchObject({
    connection: 'close',
    'content-type': 'text/plain',
    'content-length': '7',
    host: `127.0.0.1:${port}`,
  })
  expect(seen.peers).toEqual([first.localPort, second.localPort])
  expect(first.localPort).not.toBe(second.localPort)
  expect(first.startedAt).toBeGreaterThanOrEqual(before - 5)
  expect(first.connectedAt).toBeGreaterThanOrEqual(first.startedAt)
  expect(first.endedAt).toBeGreaterThanOrEqual(first.connectedAt!)
})

test('http: another status is not ok, and the body still comes', async () => {
  const port = await listen(createHttpServer((_, res) => res.writeHead(503).end('no')))
  expect(await doRequest(request('http', port))).toMatchObject({
    ok: false,
    status: 503,
    body: 'no',
    error: { code: 'HTTP_503', phase: 'request' },
  })
})

test('http: a connection cut in the middle of the answer', async () => {
  const port = await listen(
    createHttpServer((_, res) => {
      res.writeHead(200, { 'content-length': 100 })
      res.write('begin', () => res.destroy())
    }),
  )
  const result = await doRequest(request('http', port))
  expect(result).toMatchObject({ ok: false, status: 200, error: { code: 'ECONNRESET', phase: 'request' } })
})

test('tcp: the write side is closed after the body, and the echo is read to its end', async () => {
  const body = 'x'.repeat(3_000_000)
  const port = await listen(createServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket)))
  expect(await doRequest(request('tcp', port, { body }))).toMatchObject({ ok: true, body })
  expect(await doRequest(request('tcp', port, { body: '' }))).toMatchObject({ ok: true, body: '' })
})

test('tcp: an echo that is short or wrong is not ok', async () => {
  const short = await listen(createServer((socket: Socket) => void socket.end('tö')))
  expect(await doRequest(request('tcp', short))).toMatchObject({ ok: false, body: 'tö', error: { code: 'EECHO', phase: 'request' } })
})

test('tcp: a reset', async () => {
  const port = await listen(createServer((socket: Socket) => socket.once('data', () => socket.resetAndDestroy())))
  const result = await doRequest(request('tcp', port))
  expect(result).toMatchObject({ ok: false, remotePort: port, error: { code: 'ECONNRESET', phase: 'request' } })
})

test('a refused connection tells the local port that it had', async () => {
  const server = createServer()
  const port = await listen(server)
  const { promise, resolve } = Promise.withResolvers<void>()
  server.close(() => resolve())
  await promise
  const result = await doRequest(request('tcp', port))
  expect(result).toMatchObject({ ok: false, error: { code: 'ECONNREFUSED', phase: 'connect' } })
  expect(result.localPort).toBeGreaterThan(1023)
  expect(result).not.toHaveProperty('localAddress')
  expect(result).not.toHaveProperty('connectedAt')
})

test('a name that does not exist fails in phase resolve', async () => {
  const result = await doRequest(request('http', 80, { host: 'no such name' }))
  expect(result).toMatchObject({ ok: false, error: { code: 'ENOTFOUND', phase: 'resolve' } })
})

test('the time-out covers the whole request', async () => {
  const port = await listen(createServer({ allowHalfOpen: true }))
  const result = await doRequest(request('http', port, { timeoutMs: 80 }))
  expect(result).toMatchObject({ ok: false, remotePort: port, error: { code: 'ETIMEDOUT', phase: 'request' } })
  expect(result.endedAt - result.startedAt).toBeGreaterThanOrEqual(75)
})
