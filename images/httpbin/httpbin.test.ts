import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { closeSync, constants, existsSync, mkdtempSync, openSync, read, readSync, rmSync, writeSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { buffer, text } from 'node:stream/consumers'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ServerLogLine } from '../lib/app-protocol.ts'

let dir: string
let app: ChildProcess
let ports: { http: number; tcp: number; udp: number; path: string }
const served: ServerLogLine[] = []
const watchers = new Set<() => void>()

/** Ports of the kernel's choice, sockets in a folder of our own. */
function environment(name: string): NodeJS.ProcessEnv {
  const free = ['HTTP', 'HTTP2', 'TCP', 'UDP', 'CLIENT_HALF_CLOSE', 'SERVER_HALF_CLOSE', 'SERVER_FIRST'].map((p) => [`${p}_PORT`, '0'])
  const sockets = { HTTPBIN_SOCKET: join(dir, `${name}.sock`), SLEEP_SOCKET: join(dir, `${name}-client.sock`) }
  return { ...process.env, ...Object.fromEntries(free), ...sockets }
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'everyhop-httpbin-'))
  const env = environment('httpbin')
  app = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const listening = Promise.withResolvers<typeof ports>()
  createInterface({ input: app.stdout! }).on('line', (line) => {
    const value = JSON.parse(line)
    if (value.event === 'listening') listening.resolve(value)
    else served.push(value)
    for (const look of watchers) look()
  })
  ports = await listening.promise
})
afterAll(async () => {
  const exited = once(app, 'exit')
  app.kill()
  expect(await exited).toEqual([0, null])
  rmSync(dir, { recursive: true })
})

/** The log line whose body begins so; waits for it. */
async function logged(body: string): Promise<ServerLogLine> {
  const { promise, resolve } = Promise.withResolvers<ServerLogLine>()
  const look = () => {
    const line = served.find((l) => l.body.startsWith(body))
    if (line) resolve(line)
  }
  watchers.add(look)
  look()
  return promise.finally(() => watchers.delete(look))
}

async function http(path: string, body = '', more: object = {}): Promise<{ status: number; body: string; localPort: number }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string; localPort: number }>()
  const call = request({ host: '127.0.0.1', port: ports.http, path, method: 'POST', agent: false, ...more }, async (response) => {
    const localPort = response.socket.localPort!
    resolve({ status: response.statusCode!, body: await text(response), localPort })
  })
  call.on('error', reject).end(body)
  return promise
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

async function command(line: object | string): Promise<unknown> {
  const socket = connect(ports.path)
  socket.end(typeof line === 'string' ? line : JSON.stringify(line))
  return JSON.parse(await text(socket))
}

test('/anything tells what was seen, after the log line', async () => {
  const answer = await http('/anything?x=1', 'token-anything', { headers: { 'x-test': 'yes' } })
  const line = await logged('token-anything')
  const peer = `127.0.0.1:${answer.localPort}`
  const local = `127.0.0.1:${ports.http}`
  expect(line).toEqual({
    event: 'served',
    protocol: 'http',
    peer,
    local,
    body: 'token-anything',
    bytes: 14,
    sha256: sha256('token-anything'),
  })
  const seen = { peer, local, method: 'POST', path: '/anything?x=1', body: 'token-anything' }
  expect(JSON.parse(answer.body)).toMatchObject({ ...seen, headers: { 'x-test': 'yes' } })
})

test('IPv6 and IPv4 come to the same port', async () => {
  const answer = await http('/anything', 'token-v6', { host: '::1' })
  expect(JSON.parse(answer.body)).toMatchObject({ peer: `[::1]:${answer.localPort}`, local: `[::1]:${ports.http}` })
})

test('a big body comes back whole; the log keeps its first 256 bytes', async () => {
  const body = `token-big${'0123456789'.repeat(500_000)}`
  const answer = await http('/anything', body)
  expect(JSON.parse(answer.body).body).toBe(body)
  expect(await logged('token-big')).toMatchObject({ body: body.slice(0, 256), bytes: body.length })
})

test('/healthz answers without a log line; everything else has one', async () => {
  const before = served.length
  expect(await http('/healthz', 'token-health')).toMatchObject({ status: 200, body: 'ok\n' })
  expect(await http('/nowhere', 'token-nowhere')).toMatchObject({ status: 404 })
  await logged('token-nowhere')
  expect(served.slice(before).map((l) => l.body)).toEqual(['token-nowhere'])
})

test.for([
  ['/status/204', 204, ''],
  ['/status/503', 503, '503 Service Unavailable\n'],
  ['/stream/3', 200, '{"n":0}\n{"n":1}\n{"n":2}\n'],
  ['/stream/0', 200, ''],
  ['/delay/30', 200, '{"delayed":30,"body":""}\n'],
] as const)('%s', async ([path, status, body]) => {
  const started = performance.now()
  expect(await http(path)).toMatchObject({ status, body })
  if (path === '/delay/30') expect(performance.now() - started).toBeGreaterThanOrEqual(29)
})

test.for(['/status/99', '/status/600', '/status/x', '/stream/-1', '/stream/', '/delay/1e3', '/delay/9999999'])(
  '%s is refused',
  async (path) => {
    const { status, body } = await http(path)
    expect(status).toBe(400)
    expect(JSON.parse(body).error).toMatch(/^use \//)
  },
)

test.for(['/toString', '/__proto__', '/constructor/1'])('%s is no path', async (path) => {
  expect(await http(path)).toMatchObject({ status: 404 })
})

test('a long stream to a slow reader', async () => {
  expect((await http('/stream/100000')).body.split('\n')).toHaveLength(100_001)
})

test('/reset ends with a RST, and was served', async () => {
  await expect(http('/reset', 'token-reset')).rejects.toMatchObject({ code: 'ECONNRESET' })
  expect(await logged('token-reset')).toMatchObject({ protocol: 'http' })
})

test('an HTTP request that is none is answered with 400', async () => {
  const socket = connect(ports.http, '127.0.0.1')
  socket.write('rubbish\r\n\r\n')
  expect(await text(socket)).toMatch(/^HTTP\/1.1 400 /)
})

test('the TCP echo answers at once, and ends its side, logged, only when the peer has ended its own', async () => {
  const socket = connect({ port: ports.tcp, host: '127.0.0.1', allowHalfOpen: true })
  let ended = false
  socket.on('end', () => {
    ended = true
  })
  socket.write('token-tcp ')
  const [first] = await once(socket, 'data')
  expect(String(first)).toBe('token-tcp ')
  expect(ended).toBe(false)
  expect(served.some((l) => l.body.startsWith('token-tcp'))).toBe(false)
  const peer = `127.0.0.1:${socket.localPort}`
  const rest = text(socket)
  socket.end('second')
  expect(await rest).toBe('second')
  const local = `127.0.0.1:${ports.tcp}`
  const body = 'token-tcp second'
  expect(await logged('token-tcp')).toEqual({ event: 'served', protocol: 'tcp', peer, local, body, bytes: 16, sha256: sha256(body) })
})

test('the TCP echo waits for a peer that writes first and reads later', async () => {
  const body = Buffer.alloc(20_000_000, 'token-bulk ')
  const socket = connect({ port: ports.tcp, host: '127.0.0.1', allowHalfOpen: true }).pause()
  socket.end(body)
  expect((await buffer(socket)).equals(body)).toBe(true)
  expect(await logged('token-bulk')).toMatchObject({ bytes: body.length })
})

test('a reset TCP connection was not served and hurts nobody', async () => {
  const socket = connect(ports.tcp, '127.0.0.1')
  socket.write('token-cut')
  await once(socket, 'data')
  socket.resetAndDestroy()
  await once(socket, 'close')
  const next = connect(ports.tcp, '127.0.0.1')
  next.end('token-after')
  expect(await text(next)).toBe('token-after')
  await logged('token-after')
  expect(served.some((l) => l.body === 'token-cut')).toBe(false)
})

test('the UDP echo', async () => {
  const socket = createSocket('udp4')
  socket.send('token-udp', ports.udp, '127.0.0.1')
  const [datagram] = await once(socket, 'message')
  expect(String(datagram)).toBe('token-udp')
  const peer = `127.0.0.1:${socket.address().port}`
  socket.close()
  expect(await logged('token-udp')).toMatchObject({ protocol: 'udp', peer, local: `[::]:${ports.udp}`, bytes: 9 })
})

test.for(['http', 'tcp'] as const)('closing and opening the %s port', async (which) => {
  const port = ports[which]
  const held = connect(port, '127.0.0.1')
  await once(held, 'connect')
  const gone = once(held, 'close')
  held.resume()
  expect(await command({ id: '1', action: 'close', port })).toEqual({ id: '1', ok: true })
  await gone
  await expect(once(connect(port, '127.0.0.1'), 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  expect(await command({ id: '2', action: 'close', port })).toEqual({ id: '2', ok: true })
  expect(await command({ id: '3', action: 'open', port })).toEqual({ id: '3', ok: true })
  expect(await command({ id: '4', action: 'open', port })).toEqual({ id: '4', ok: true })
  await once(connect(port, '127.0.0.1').unref(), 'connect')
})

test.for([
  ['{', '', /JSON/],
  ['null', '', /not a JSON object/],
  ['{"action":"open","port":1}', '', /id must be/],
  ['{"id":"a","action":"shut","port":1}', 'a', /action must be "open", "close" or "hbone", is "shut"/],
  ['{"id":"a","action":"open","port":1}', 'a', /port 1 is none of this server's: \d+, \d+/],
] as const)('the command %s is refused', async ([line, id, error]) => {
  expect(await command(line)).toEqual({ id, ok: false, error: expect.stringMatching(error) })
})

test('no answer overtakes its log line, even when nobody reads the log', async () => {
  const fifo = join(dir, 'log')
  execFileSync('mkfifo', [fifo])
  const log = openSync(fifo, constants.O_RDWR)
  const env = environment('slow')
  const slow = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], { env, stdio: ['ignore', log, 'inherit'] })
  try {
    const chunk = Buffer.alloc(1 << 16)
    // A crash must not leave the first read waiting for ever.
    slow.once('exit', () => writeSync(log, '{}'))
    const first = await promisify(read)(log, chunk, 0, chunk.length, null)
    const { http: port } = JSON.parse(chunk.toString('utf8', 0, first.bytesRead))
    let answered = 0
    // A pipe takes 64 KiB (pipe(7)): somewhere in the third hundred the server must stand still.
    for (; answered < 400; answered++) {
      const body = String(answered).padEnd(256, '.')
      const answer = await Promise.race([http('/anything', body, { port }), wait(1_000)])
      if (!answer) break
    }
    expect(answered).toBeLessThan(400)
    const written = chunk.toString('utf8', 0, readSync(log, chunk))
    expect(written.trimEnd().split('\n')).toHaveLength(answered)
  } finally {
    slow.kill('SIGKILL')
    await once(slow, 'exit')
    closeSync(log)
  }
})

test('a bad port in the environment ends with a message', async () => {
  const env = { ...environment('unused'), HTTP_PORT: '80a' }
  const bad = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], { env, stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = once(bad, 'exit')
  expect(await text(bad.stderr)).toContain('HTTP_PORT must be a port number from 0 to 65535, is "80a"')
  expect(await exited).toEqual([2, null])
  expect(existsSync(join(dir, 'unused.sock'))).toBe(false)
})
