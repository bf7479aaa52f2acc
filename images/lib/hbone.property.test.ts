import { once } from 'node:events'
import { createServer, connect as dial, type Server } from 'node:net'
import type { TLSSocket } from 'node:tls'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { generateCa, issueLeaf, type Leaf, loadCa } from './ca.ts'
import { TunnelStream } from './h2/tunnel-stream.ts'
import { HboneClient, HboneError, hboneDefaults, serveHbone } from './hbone.ts'
import { acceptMtls, connectMtls, mtlsContext } from './mtls.ts'

// Hundreds of handshakes each: a busy machine takes its time.
vi.setConfig({ testTimeout: 60_000 })

// What a peer with a good certificate may write: any bytes. Each property's runs share a listener; each run has a connection of its own.
let leaf: Leaf
let listener: Server
let take: (socket: TLSSocket) => void
beforeAll(async () => {
  leaf = await issueLeaf(loadCa(await generateCa()), { trustDomain: 'cluster.local', namespace: 'demo', serviceAccount: 'x' }, 3_600_000)
  listener = createServer((raw) => {
    raw.on('error', () => {})
    acceptMtls(raw, mtlsContext(leaf), 'cluster.local', 5000).then(
      ({ socket }) => take(socket),
      () => {},
    )
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
})
afterAll(() => void listener.close())

/** Both ends of a new connection. */
async function pair(): Promise<{ server: TLSSocket; client: TLSSocket }> {
  const accepted = new Promise<TLSSocket>((resolve) => (take = resolve))
  const raw = dial((listener.address() as { port: number }).port, '127.0.0.1')
  raw.on('error', () => {})
  await once(raw, 'connect')
  const { socket } = await connectMtls(raw, mtlsContext(leaf), ['spiffe://cluster.local/ns/demo/sa/x'], 5000)
  return { client: socket, server: await accepted }
}

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const frame = (type: number, flags: number, stream: number, payload: Uint8Array) => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}
const settings = frame(4, 0, 0, new Uint8Array())
const literal = (index: number, value: string) => Buffer.concat([Buffer.of(0x40 | index, value.length), Buffer.from(value)])
/** CONNECT to `authority` (RFC 7541: `:method` is entry 2 of the static table, `:authority` entry 1). */
const connect = (stream: number, authority: string) => frame(1, 4, stream, Buffer.concat([literal(2, 'CONNECT'), literal(1, authority)]))
const answer = (stream: number) => frame(1, 4, stream, Buffer.of(0x88))

const streamId = fc.constantFrom(0, 1, 2, 3, 5, 7, 0x7fffffff, 0x80000001)
const bytes = fc.uint8Array({ maxLength: 64 })
const anyFrame = fc.tuple(fc.nat(12), fc.nat(255), streamId, bytes).map((f) => frame(...f))
const knownFrame = fc.oneof(
  fc.tuple(fc.constantFrom(1, 3, 5), fc.string({ maxLength: 60 })).map(([id, authority]) => connect(id, authority)),
  streamId.map(answer),
  fc.tuple(streamId, bytes, fc.boolean()).map(([id, data, end]) => frame(0, end ? 1 : 0, id, data)),
  fc.tuple(streamId, fc.nat()).map(([id, size]) => frame(8, 0, id, Uint8Array.of(size >>> 24, size >>> 16, size >>> 8, size))),
  streamId.map((id) => frame(3, 0, id, Uint8Array.of(0, 0, 0, 8))),
  fc.constant(frame(7, 0, 0, new Uint8Array(8))),
  fc.constant(frame(6, 0, 0, new Uint8Array(8))),
)
/** Frames in some order, some broken, with some bytes changed and the end cut off somewhere. */
const conversation = fc
  .tuple(
    fc.array(fc.oneof(knownFrame, knownFrame, anyFrame), { maxLength: 12 }),
    fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 2 }),
    fc.nat(40),
  )
  .map(([frames, changes, cut]) => {
    const all = Buffer.concat([settings, ...frames])
    for (const [at, value] of changes) all[at % all.length] = value
    return all.subarray(0, all.length - (cut > 30 ? (cut - 30) % all.length : 0))
  })

describe('the server', () => {
  test('whatever a peer writes, its requests are whole and its connection ends when it leaves', async () => {
    let requests = 0
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          conversation.map((c) => Buffer.concat([preface, c])),
          bytes.map((b) => Buffer.from(b)),
        ),
        async (written) => {
          const { server, client } = await pair()
          const { closed } = serveHbone(
            server,
            hboneDefaults,
            (request) => {
              requests++
              expect(typeof request.authority).toBe('string')
              const tunnel = request.accept()
              const stream = tunnel && new TunnelStream(tunnel)
              stream?.on('error', () => {}).pipe(stream)
            },
            () => {},
          )
          client.on('error', () => {}).resume()
          client.end(written)
          await closed
          client.destroy()
        },
      ),
      { numRuns: 250 },
    )
    expect(requests).toBeGreaterThan(0)
  })

  const million = 1 << 20
  /** More is written than may be kept, so that keeping it would show. */
  const chunks = 200
  const bound = 100 * million
  const repeat = (one: Buffer, total = million) => Buffer.concat(Array.from({ length: Math.ceil(total / one.length) }, () => one))
  test.each([
    ['PING', () => repeat(frame(6, 0, 0, new Uint8Array(8)))],
    ['SETTINGS', () => repeat(settings)],
    [
      'header blocks that do not end',
      (n: number) =>
        Buffer.concat([...(n === 0 ? [frame(1, 0, 1, literal(2, 'CONNECT'))] : []), repeat(frame(9, 0, 1, Buffer.alloc(16_000, 0x41)))]),
    ],
    [
      'tunnels that are given up at once',
      (n: number) =>
        Buffer.concat(
          Array.from({ length: 10_000 }, (_, i) => [
            connect(n * 20_000 + 2 * i + 1, 'a:1'),
            frame(3, 0, n * 20_000 + 2 * i + 1, Uint8Array.of(0, 0, 0, 8)),
          ]).flat(),
        ),
    ],
    [
      'data that nobody reads',
      (n: number) => Buffer.concat([...(n === 0 ? [connect(1, 'a:1')] : []), repeat(frame(0, 0, 1, Buffer.alloc(16_000)))]),
    ],
  ])('a flood of %s ends the connection of a peer that reads nothing, and memory stays bounded', async (_name, chunk) => {
    const { server, client } = await pair()
    const rss = process.memoryUsage.rss()
    let over = false
    const { closed } = serveHbone(
      server,
      hboneDefaults,
      // Accepted, and never read.
      (request) => void request.accept(),
      () => {},
    )
    void closed.then(() => {
      over = true
    })
    client.on('error', () => {})
    client.write(preface)
    client.write(settings)
    let most = 0
    for (let n = 0; n < chunks && !over && !client.destroyed; n++) {
      const written = new Promise((resolve) => client.write(chunk(n), resolve))
      await Promise.race([written, closed])
      most = Math.max(most, process.memoryUsage.rss() - rss)
    }
    expect(most).toBeLessThan(bound)
    await closed
    client.destroy()
  })
})

describe('the client', () => {
  test('whatever a server writes, each tunnel stands or fails with a reason, and the connection is given up when the server leaves', async () => {
    let stood = 0
    await fc.assert(
      fc.asyncProperty(conversation, async (written) => {
        const { server, client } = await pair()
        const made = new HboneClient(client, hboneDefaults)
        const asked = [made.connect('10.0.0.1:80', { forwarded: 'for="1.2.3.4:5"' }), made.connect('10.0.0.1:81', {})]
        server.on('error', () => {}).resume()
        server.end(written)
        for (const result of await Promise.allSettled(asked)) {
          if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(HboneError)
          else {
            stood++
            new TunnelStream(result.value.tunnel).on('error', () => {}).resume()
          }
        }
        while (made.usable) await new Promise<void>((resolve) => (made.onChange = resolve))
        made.destroy()
        server.destroy()
      }),
      { numRuns: 250 },
    )
    expect(stood).toBeGreaterThan(0)
  })
})
