import { once } from 'node:events'
import * as http2 from 'node:http2'
import type { Socket } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ClientConnection } from './client-connection.ts'
import type { Field } from './hpack-decoder.ts'
import type { Headers } from './message.ts'
import { accept, closed, digest, open, options, pair, serve } from './testbed/peers.ts'
import { TunnelStream } from './tunnel-stream.ts'

// Against node:http2, which shares no code with ours.
const connectFields: Field[] = [
  [':method', 'CONNECT'],
  [':authority', 'a:1'],
]

function ask(made: ClientConnection): Promise<{ stream: TunnelStream; headers: Headers }> {
  return new Promise((resolve, reject) => {
    const tunnel = made.open(connectFields, (headers) => resolve({ stream: new TunnelStream(tunnel).on('error', () => {}), headers }))
    tunnel.onClosed = () => reject(new Error(`closed ${tunnel.resetCode}`))
  })
}

const clientOf = (socket: Socket) => {
  const made = new ClientConnection(socket, options, { onRetired: () => {}, onClose: () => {} })
  open.push(made)
  return made
}

/** Bytes that show where they stand. */
function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let i = 0; i + 4 <= length; i += 4) bytes.writeUInt32BE(i, i)
  return bytes
}

describe('with node:http2 as the peer', () => {
  test('its client and our server: much more than any window goes both ways, whole and in order', async () => {
    const { client, server } = await pair()
    serve(server, (tunnel, _headers, made) => {
      const stream = accept(tunnel, made)
      stream.pipe(stream)
    })
    const session = http2.connect('http://x', { createConnection: () => client })
    open.push(session)
    const stream = session.request({ ':method': 'CONNECT', ':authority': 'a:1' }, { endStream: false })
    const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders]
    expect(headers[':status']).toBe(200)
    const sent = pattern(12 << 20)
    stream.end(sent)
    expect((await digest(stream)).equals(sent)).toBe(true)
    expect(stream.rstCode).toBe(0)
  })

  test('our client and its server: the same', async () => {
    const { client, server } = await pair()
    const session = http2.performServerHandshake(server)
    open.push(session)
    session.on('stream', (stream, headers) => {
      expect(headers).toMatchObject({ ':method': 'CONNECT', ':authority': 'a:1', baggage: 'x=y' })
      stream.respond({ ':status': 200, long: 'v'.repeat(5000) })
      stream.pipe(stream)
    })
    const made = clientOf(client)
    const answered = Promise.withResolvers<Headers>()
    const tunnel = made.open([...connectFields, ['baggage', 'x=y']], answered.resolve)
    expect(await answered.promise).toMatchObject({ ':status': '200', long: 'v'.repeat(5000) })
    const stream = new TunnelStream(tunnel)
    const sent = pattern(12 << 20)
    stream.end(sent)
    expect((await digest(stream)).equals(sent)).toBe(true)
    expect(tunnel.resetCode).toBeUndefined()
    expect(made.tunnels.size).toBe(0)
  })

  test('headers of any kind that it compresses are read (Huffman, both tables, CONTINUATION)', async () => {
    const { client, server } = await pair()
    const seen: Headers[] = []
    serve(server, (tunnel, headers, made) => {
      seen.push(headers)
      made.respond(tunnel, [[':status', '200']], true)
    })
    const session = http2.connect('http://x', { createConnection: () => client })
    open.push(session)
    const printable = fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((c) => String.fromCharCode(c)),
      minLength: 1,
      maxLength: 3000,
    })
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.stringMatching(/^x-[a-z]{1,8}$/), printable, { maxKeys: 4 }), async (extra) => {
        const stream = session.request({ ':method': 'CONNECT', ':authority': 'a:1', ...extra }, { endStream: false })
        stream.on('error', () => {}).resume()
        await closed(stream)
        expect({ ...seen.at(-1) }).toEqual({ ':method': 'CONNECT', ':authority': 'a:1', ...extra })
      }),
      { numRuns: 60 },
    )
  })

  test('a peer that lets us send nothing at first is waited for, and a small window is kept to', async () => {
    const { client, server } = await pair()
    serve(server, (tunnel, _headers, made) => void accept(tunnel, made).end(pattern(50_000)))
    const session = http2.connect('http://x', { createConnection: () => client, settings: { initialWindowSize: 0, headerTableSize: 0 } })
    open.push(session)
    const stream = session.request({ ':method': 'CONNECT', ':authority': 'a:1' }, { endStream: false })
    await once(stream, 'response')
    session.settings({ initialWindowSize: 1000 })
    expect((await digest(stream)).equals(pattern(50_000))).toBe(true)
  })

  test('more streams than allowed are refused, the others go on', async () => {
    const { client, server } = await pair()
    serve(server, (tunnel, _headers, made) => void accept(tunnel, made))
    const session = http2.connect('http://x', { createConnection: () => client })
    open.push(session)
    // Before its settings are known, so that nobody holds the fourth back.
    const streams = Array.from({ length: 4 }, () => session.request({ ':method': 'CONNECT', ':authority': 'a:1' }, { endStream: false }))
    for (const stream of streams) stream.on('error', () => {})
    await Promise.all([closed(streams[3]!), ...streams.slice(0, 3).map((s) => once(s, 'response'))])
    expect(streams[3]!.rstCode).toBe(http2.constants.NGHTTP2_REFUSED_STREAM)
    expect(streams.slice(0, 3).map((s) => s.closed)).toEqual([false, false, false])
  })

  test('resets reach the other side with their codes, each way', async () => {
    const { client, server } = await pair()
    const session = http2.performServerHandshake(server)
    open.push(session)
    const streams: http2.ServerHttp2Stream[] = []
    session.on('stream', (stream) => {
      streams.push(stream)
      stream.on('error', () => {}).respond({ ':status': 200 })
    })
    const made = clientOf(client)
    const first = await ask(made)
    first.stream.destroy()
    await closed(streams[0]!)
    expect(streams[0]!.rstCode).toBe(http2.constants.NGHTTP2_CANCEL)
    const second = await ask(made)
    streams[1]!.close(http2.constants.NGHTTP2_INTERNAL_ERROR)
    await closed(second.stream)
    expect(second.stream.rstCode).toBe(http2.constants.NGHTTP2_INTERNAL_ERROR)
  })

  test('headers that are longer than a frame go in several', async () => {
    const { client, server } = await pair()
    serve(server, (tunnel, _headers, made) =>
      made.respond(
        tunnel,
        [
          [':status', '200'],
          ['long', 'v'.repeat(40_000)],
        ],
        false,
      ),
    )
    const session = http2.connect('http://x', { createConnection: () => client })
    open.push(session)
    const stream = session.request({ ':method': 'CONNECT', ':authority': 'a:1' }, { endStream: false }).on('error', () => {})
    const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders]
    expect(headers.long).toBe('v'.repeat(40_000))
  })

  test('what comes before anybody takes it is kept, up to the window, and goes on when somebody does', async () => {
    const { client, server } = await pair()
    const session = http2.performServerHandshake(server)
    open.push(session)
    const sent = pattern(3 * options.windowSize)
    session.on('stream', (stream) => {
      stream.respond({ ':status': 200 })
      stream.end(sent)
    })
    const made = clientOf(client)
    const answered = Promise.withResolvers<void>()
    const tunnel = made.open(connectFields, () => answered.resolve())
    await answered.promise
    while (made.bytesRead < options.windowSize) await new Promise((resolve) => setImmediate(resolve))
    const got: Buffer[] = []
    await new Promise<void>((end, reject) =>
      tunnel.open({
        data: (bytes) => void got.push(Buffer.from(bytes)),
        end,
        drained: () => {},
        finished: () => {},
        failed: (reason) => reject(new Error(reason)),
      }),
    )
    expect(Buffer.concat(got).equals(sent)).toBe(true)
  })

  test('a trailer ends a stream', async () => {
    const { client, server } = await pair()
    const session = http2.performServerHandshake(server)
    open.push(session)
    session.on('stream', (stream) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ over: 'yes' }))
      stream.end('body')
    })
    const { stream } = await ask(clientOf(client))
    expect(String(await digest(stream))).toBe('body')
  })
})

describe('one slow reader', () => {
  test('does not hold back the other tunnels, and no more than its window is kept for it', async () => {
    const { client, server } = await pair()
    const tunnels: TunnelStream[] = []
    serve(server, (tunnel, _headers, made) => void tunnels.push(accept(tunnel, made)))
    const made = clientOf(client)
    const slow = await ask(made)
    const quick = await ask(made)
    let written = 0
    const chunk = pattern(64 << 10)
    const push = () => {
      while (slow.stream.writableLength === 0 && written < 64 << 20) {
        written += chunk.length
        slow.stream.write(chunk, push)
      }
    }
    push()
    quick.stream.end(pattern(8 << 20))
    expect((await digest(tunnels[1]!)).equals(pattern(8 << 20))).toBe(true)
    expect(written).toBeLessThan(options.windowSize + (1 << 20))
    tunnels[0]!.resume()
    await new Promise<void>((resolve) => tunnels[0]!.on('data', () => written > 3 << 20 && resolve()))
  })
})
