import { createHash } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { doRequest } from '../lib/app-client.ts'
import { type ClientRequest, type Exchange, greeting, type ServerLogLine } from '../lib/app-protocol.ts'
import { bulkBytes } from '../lib/bulk.ts'
import { tcpEcho, tcpLine } from './echo.ts'
import { http2Server } from './http.ts'
import { Ports, TcpPort } from './ports.ts'
import { UdpPort } from './udp-port.ts'

// What is printed is httpbin's log: it is looked at here, not shown.
const written = vi.hoisted(() => ({ lines: [] as string[] }))
vi.mock('node:fs', async (original) => ({
  ...(await original<typeof import('node:fs')>()),
  writeSync: (_: number, bytes: Uint8Array) => {
    written.lines.push(Buffer.from(bytes).toString())
    return bytes.length
  },
}))
const served = () => written.lines.map((line) => JSON.parse(line) as ServerLogLine)
afterEach(() => void written.lines.splice(0))

const ports = new Ports()
const number = {} as Record<Exchange | 'http2' | 'udp', number>
beforeAll(async () => {
  number.http2 = await ports.add(new TcpPort(http2Server(), 0))
  number.udp = await ports.add(new UdpPort(0))
  number.echo = number.bulk = await ports.add(new TcpPort(tcpEcho(), 0))
  number['client-half-close'] = await ports.add(new TcpPort(tcpEcho({ late: true }), 0))
  number['server-half-close'] = await ports.add(new TcpPort(tcpLine(), 0))
  number['server-first'] = await ports.add(new TcpPort(tcpEcho({ greets: true }), 0))
})
const tell = (action: string, port: number) => ports.answer(JSON.stringify({ id: 'c', action, port }))
afterAll(async () => {
  for (const port of Object.values(number)) await tell('close', port)
})

const request = (more: Partial<ClientRequest> & Pick<ClientRequest, 'protocol' | 'port'>): ClientRequest => ({
  id: 'r',
  host: '127.0.0.1',
  body: 'tökèn',
  timeoutMs: 10_000,
  ...more,
})

/** What a server hears and when it ends, told by a server of the test's own. */
async function against(exchange: Exchange, serve: (socket: Socket) => void) {
  const server: Server = createServer({ allowHalfOpen: true }, serve)
  const port = await new Promise<number>((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
  )
  try {
    return await doRequest(request({ protocol: 'tcp', port, exchange, timeoutMs: 5_000 }))
  } finally {
    server.close()
  }
}

test('HTTP/2 with prior knowledge: answered, and served as what it is', async () => {
  const result = await doRequest(request({ protocol: 'http2', port: number.http2 }))
  expect(result).toMatchObject({ ok: true, status: 200, localAddress: '127.0.0.1', remotePort: number.http2 })
  const peer = `127.0.0.1:${result.localPort}`
  expect(JSON.parse(result.body!)).toMatchObject({ peer, method: 'POST', path: '/anything', body: 'tökèn' })
  expect(served()).toMatchObject([{ protocol: 'http2', peer, body: 'tökèn' }])
})

test('HTTP/2 to a server that does not speak it fails', async () => {
  expect(await doRequest(request({ protocol: 'http2', port: number['server-half-close'], timeoutMs: 1_000 }))).toMatchObject({ ok: false })
})

test('HTTP/2 to a server that ends at once fails at once', async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.end())
  const port = await new Promise<number>((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
  )
  const result = await doRequest(request({ protocol: 'http2', port, timeoutMs: 5_000 }))
  server.close()
  expect(result).toMatchObject({ ok: false, error: { code: 'ECONNRESET' } })
})

test.for(['echo', 'client-half-close', 'server-half-close', 'server-first'] as const)('%s: everything comes back', async (exchange) => {
  const result = await doRequest(request({ protocol: 'tcp', port: number[exchange], exchange }))
  expect(result).toMatchObject({ ok: true, body: expect.stringContaining('tökèn') })
  const said = exchange === 'server-half-close' ? 'tökèn\ntökèn\n' : 'tökèn'
  await vi.waitFor(() =>
    expect(served()).toContainEqual(expect.objectContaining({ protocol: 'tcp', body: said, bytes: Buffer.byteLength(said) })),
  )
  expect(served().find((l) => l.body === said)!.peer).toBe(`127.0.0.1:${result.localPort}`)
})

test('after its own end the client still reads, however late', async () => {
  const result = await against('client-half-close', (socket) => {
    const heard: Buffer[] = []
    socket.on('data', (chunk) => heard.push(chunk)).on('end', () => setTimeout(() => socket.end(Buffer.concat(heard)), 50))
  })
  expect(result).toMatchObject({ ok: true, body: 'tökèn' })
})

test('after the server has ended, the client still writes, and only then', async () => {
  const heard: string[] = []
  const result = await against('server-half-close', (socket) => {
    socket.once('data', (first: Buffer) => {
      heard.push(`${first}`)
      socket.end(first, () => heard.push('(ended)'))
      socket.on('data', (late: Buffer) => heard.push(`${late}`))
    })
    socket.on('error', () => {})
  })
  expect(result.ok).toBe(true)
  await vi.waitFor(() => expect(heard).toEqual(['tökèn\n', '(ended)', 'tökèn\n']), 10_000)
})

test('the client of a server that speaks first says nothing before', async () => {
  let early = 0
  const result = await against('server-first', (socket) => {
    socket.on('data', (chunk) => {
      early += chunk.length
    })
    setTimeout(() => {
      const before = early
      socket.write(greeting.slice(0, 3))
      setTimeout(() => socket.write(greeting.slice(3)), 20)
      socket.on('end', () => socket.end(before === 0 ? 'tökèn' : 'too early'))
    }, 50)
  })
  expect(result).toMatchObject({ ok: true, body: `${greeting}tökèn` })
})

test.for([
  ['a server that ends before it greets', 'server-first', (socket: Socket) => socket.end('eve')],
  ['one that echoes something else', 'client-half-close', (socket: Socket) => socket.end('nothing')],
  [
    'one that alters a byte of many',
    'bulk',
    (socket: Socket) =>
      socket.on('data', (c: Buffer) => socket.write(Buffer.concat([c.subarray(1), c.subarray(0, 1)]))).on('end', () => socket.end()),
  ],
  ['one that ends in the middle of many', 'bulk', (socket: Socket) => socket.once('data', (c: Buffer) => socket.end(c))],
] as const)('%s is found out', async ([, exchange, serve]) => {
  expect(await against(exchange, serve)).toMatchObject({ ok: false, error: { code: 'EECHO', phase: 'request' } })
})

test('bulk: 8 MiB there and back, the same by digest at both ends, the token in the first and the last bytes only', async () => {
  const token = '0123456789abcdef0123456789abcdef'
  const result = await doRequest(request({ protocol: 'tcp', port: number.bulk, exchange: 'bulk', body: token, timeoutMs: 30_000 }))
  expect(result.error).toBeUndefined()
  const [line] = served()
  expect(result.sent).toEqual({ bytes: bulkBytes, sha256: line!.sha256 })
  expect(result.received).toEqual(result.sent)
  expect(line!.bytes).toBe(bulkBytes)
  const [first, last] = result.body!.split('…')
  expect(first!.indexOf(token)).toBe(0)
  expect(last!.lastIndexOf(token)).toBe(last!.length - token.length)
  expect(result.sent!.sha256).not.toBe(createHash('sha256').update('').digest('hex'))
}, 40_000)

test('UDP: the echo; a port that is closed refuses, and serves again when it is opened', async () => {
  const ask = () => doRequest(request({ protocol: 'udp', port: number.udp, timeoutMs: 2_000 }))
  const result = await ask()
  expect(result).toMatchObject({ ok: true, body: 'tökèn', localAddress: '127.0.0.1', remoteAddress: '127.0.0.1', remotePort: number.udp })
  expect(served()).toMatchObject([{ protocol: 'udp', peer: `127.0.0.1:${result.localPort}` }])
  expect(await tell('close', number.udp)).toMatchObject({ ok: true })
  expect(await ask()).toMatchObject({ ok: false, error: { code: 'ECONNREFUSED' } })
  expect(await tell('open', number.udp)).toMatchObject({ ok: true })
  expect(await ask()).toMatchObject({ ok: true })
})
