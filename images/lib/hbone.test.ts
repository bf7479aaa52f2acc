import * as http2 from 'node:http2'
import { createServer, connect as dial, type Server, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { generateCa, issueLeaf, type Leaf, loadCa } from './ca.ts'
import { TunnelStream } from './h2/tunnel-stream.ts'
import { HboneClient, HboneError, type HboneRequest, type HboneServer, hboneDefaults, serveHbone } from './hbone.ts'
import { acceptMtls, connectMtls, mtlsContext } from './mtls.ts'

let leaf: Leaf
beforeAll(async () => {
  leaf = await issueLeaf(loadCa(await generateCa()), { trustDomain: 'cluster.local', namespace: 'demo', serviceAccount: 'x' }, 3_600_000)
})

const open: { destroy?(): void; close?(): void }[] = []
afterEach(() => {
  for (const what of open.splice(0)) what.destroy ? what.destroy() : what.close?.()
})

/** A server by us (`onRequest`) or by node:http2 (`onSession`), and a TLS connection to it. */
async function connection(onSecured: (socket: TLSSocket) => void): Promise<TLSSocket> {
  const listener: Server = createServer((raw: Socket) => {
    raw.on('error', () => {})
    acceptMtls(raw, mtlsContext(leaf), 'cluster.local', 2000).then(
      ({ socket }) => onSecured(socket),
      () => {},
    )
  })
  open.push(listener)
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const raw = dial((listener.address() as { port: number }).port, '127.0.0.1')
  open.push(raw)
  await new Promise((resolve) => raw.once('connect', resolve))
  return (await connectMtls(raw, mtlsContext(leaf), ['spiffe://cluster.local/ns/demo/sa/x'], 2000)).socket
}

async function ours(
  onRequest: (request: HboneRequest) => void,
  onError: (error: Error) => void = () => {},
): Promise<{ socket: TLSSocket; server: Promise<HboneServer> }> {
  const server = Promise.withResolvers<HboneServer>()
  const socket = await connection((secured) => server.resolve(serveHbone(secured, hboneDefaults, onRequest, onError)))
  return { socket, server: server.promise }
}

function client(socket: TLSSocket, options = hboneDefaults): HboneClient {
  const made = new HboneClient(socket, options)
  open.push(made)
  return made
}

async function text(stream: NodeJS.ReadableStream): Promise<string> {
  let all = ''
  for await (const chunk of stream) all += chunk
  return all
}

test('a tunnel carries bytes and half-closes both ways; headers arrive; no date is sent', async () => {
  const { socket } = await ours((request) => {
    expect(request).toMatchObject({ method: 'CONNECT', authority: '10.0.0.1:80' })
    expect(request.headers).toMatchObject({ baggage: 'a=b', forwarded: 'for="1.2.3.4:5"' })
    expect(request.headers[':path']).toBeUndefined()
    const stream = new TunnelStream(request.accept({ baggage: 'c=d' })!)
    text(stream).then((all) => stream.end(`got ${all}`))
  })
  const made = client(socket)
  const { tunnel, headers } = await made.connect('10.0.0.1:80', { baggage: 'a=b', forwarded: 'for="1.2.3.4:5"' })
  const stream = new TunnelStream(tunnel)
  expect(headers).toMatchObject({ ':status': '200', baggage: 'c=d' })
  expect(headers).not.toHaveProperty('date')
  expect(made.streams).toBe(1)
  const closed = new Promise((resolve) => stream.once('close', resolve))
  stream.end('bytes')
  expect(await text(stream)).toBe('got bytes')
  await closed
  expect(made.streams).toBe(0)
})

test('settings are upstream’s on both sides', async () => {
  const seen = Promise.withResolvers<http2.Settings>()
  const window = Promise.withResolvers<number | undefined>()
  const fromClient = await connection((secured) => {
    const session = http2.performServerHandshake(secured)
    open.push(session)
    session.on('remoteSettings', seen.resolve)
    session.on('stream', (stream) => {
      stream.respond({ ':status': 200 })
      // The peer's connection window as node:http2 learnt it from WINDOW_UPDATE.
      window.resolve(session.state.remoteWindowSize)
    })
  })
  await client(fromClient).connect('10.0.0.1:80', {})
  expect(await seen.promise).toMatchObject({
    enablePush: false,
    initialWindowSize: 4 << 20,
    maxFrameSize: 1 << 20,
    maxHeaderListSize: 16 << 10,
  })
  expect(await window.promise).toBe(16 << 20)

  const { socket } = await ours((request) => request.accept())
  const session = http2.connect('https://x', { createConnection: () => socket })
  open.push(session)
  const settings = await new Promise<http2.Settings>((resolve) => session.once('remoteSettings', resolve))
  expect(settings).toMatchObject({
    initialWindowSize: 4 << 20,
    maxFrameSize: 1 << 20,
    maxHeaderListSize: 64 << 10,
    maxConcurrentStreams: 200,
  })
  const stream = session.request({ ':method': 'CONNECT', ':authority': 'a:1' }, { endStream: false })
  await new Promise((resolve) => stream.once('response', resolve))
  expect(session.state.remoteWindowSize).toBe(16 << 20)
})

test('a refusal comes back with its status, and the connection goes on', async () => {
  let n = 0
  const { socket } = await ours((request) => (n++ === 0 ? request.refuse(401) : request.accept()))
  const made = client(socket)
  const error = await made.connect('10.0.0.1:80', {}).catch((e: Error) => e)
  expect(error).toMatchObject({ message: 'http status: 401 Unauthorized', status: 401, retryable: false })
  await made.connect('10.0.0.1:80', {})
  expect(made.streams).toBe(1)
})

test('other methods reach the handler as what they are', async () => {
  const { socket } = await ours((request) => {
    expect(request.method).toBe('GET')
    request.refuse(400)
  })
  const session = http2.connect('https://x', { createConnection: () => socket })
  open.push(session)
  const stream = session.request({ ':path': '/' })
  const answer = await new Promise<http2.IncomingHttpHeaders>((resolve) => stream.once('response', resolve))
  expect(answer[':status']).toBe(400)
})

test('after GOAWAY no tunnel is opened any more, and those that are open end well', async () => {
  const { socket, server } = await ours((request) => {
    const stream = new TunnelStream(request.accept()!)
    stream.on('data', (chunk) => stream.end(chunk))
  })
  const made = client(socket)
  const stream = new TunnelStream((await made.connect('10.0.0.1:80', {})).tunnel)
  const retired = new Promise<void>((resolve) => {
    made.onChange = resolve
  })
  ;(await server).close()
  await retired
  expect(made.usable).toBe(false)
  await expect(made.connect('10.0.0.1:80', {})).rejects.toMatchObject({ retryable: true })
  stream.end('last')
  expect(await text(stream)).toBe('last')
})

test('a server that retires the connection at once has not looked: the tunnel may be asked for elsewhere', async () => {
  const socket = await connection((secured) =>
    serveHbone(
      secured,
      hboneDefaults,
      () => {},
      () => {},
    ).close(),
  )
  await expect(client(socket).connect('10.0.0.1:80', {})).rejects.toMatchObject({ retryable: true })
})

test('a server that dies fails those who wait for an answer', async () => {
  const { socket, server } = await ours(() => {})
  const waiting = client(socket).connect('10.0.0.1:80', {})
  ;(await server).destroy()
  await expect(waiting).rejects.toThrow(HboneError)
})

test('a connection on which no PING is answered but bytes come takes no new tunnels; its tunnels live on', async () => {
  const server = Promise.withResolvers<TLSSocket>()
  const socket = await connection((secured) => server.resolve(secured))
  const made = client(socket, { ...hboneDefaults, pingInterval: 10, pingTimeout: 200 })
  const retired = new Promise<void>((resolve) => (made.onChange = resolve))
  const peer = await server.promise
  peer.resume()
  const opening = made.connect('10.0.0.1:80', {})
  // SETTINGS, its acknowledgement, and `:status 200` (RFC 7541, table A, entry 8) for the first stream.
  peer.write(Buffer.concat([frame(4, 0, 0, Buffer.alloc(0)), frame(4, 1, 0, Buffer.alloc(0)), frame(1, 4, 1, Buffer.of(0x88))]))
  const stream = new TunnelStream((await opening).tunnel).on('error', () => {})
  const speaking = setInterval(() => peer.write(frame(0, 0, 1, Buffer.from('x'))), 5)
  stream.resume()
  await retired
  expect(made.usable).toBe(false)
  await new Promise((resolve) => stream.once('data', resolve))
  const ended = new Promise((resolve) => stream.once('end', resolve))
  clearInterval(speaking)
  peer.write(frame(0, 1, 1, Buffer.from('last')))
  await ended
  expect(stream.rstCode).toBe(0)
})

test('a connection that answers no PING is given up', async () => {
  const socket = await connection((secured) => secured.on('data', () => {}))
  const made = client(socket, { ...hboneDefaults, pingInterval: 10, pingTimeout: 30 })
  const waiting = made.connect('10.0.0.1:80', {})
  await expect(waiting).rejects.toThrow(HboneError)
  expect(made.usable).toBe(false)
})

const frame = (type: number, flags: number, stream: number, payload: Buffer) => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}
const preface = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0, Buffer.alloc(0))])

test.each([
  ['no preface', Buffer.from('GET / HTTP/1.1\r\n\r\n'.repeat(4))],
  ['a frame larger than allowed', Buffer.concat([preface, frame(0, 0, 1, Buffer.alloc(0)).fill(0xff, 0, 3)])],
  ['DATA on an idle stream', Buffer.concat([preface, frame(0, 0, 1, Buffer.from('x'))])],
  ['HEADERS that do not decompress', Buffer.concat([preface, frame(1, 4, 1, Buffer.alloc(40, 0xff))])],
  ['SETTINGS of a wrong length', Buffer.concat([preface, frame(4, 0, 0, Buffer.alloc(5))])],
  ['CONTINUATION without HEADERS', Buffer.concat([preface, frame(9, 4, 1, Buffer.alloc(4))])],
  ['PING on a stream', Buffer.concat([preface, frame(6, 0, 1, Buffer.alloc(8))])],
])('malformed: %s ends that connection only, with words', async (_name, bytes) => {
  const failed = Promise.withResolvers<Error>()
  const { socket, server } = await ours(() => {
    throw new Error('no request was made')
  }, failed.resolve)
  socket.on('error', () => {})
  socket.resume()
  socket.write(bytes)
  expect((await failed.promise).message).not.toBe('')
  await (await server).closed
})
