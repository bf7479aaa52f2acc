import type { Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { ClientConnection } from './client-connection.ts'
import type { Headers } from './message.ts'
import { accept, digest, open, options, pair, serve } from './testbed/peers.ts'

// A server of ours and bytes written by hand (RFC 9113).
const frame = (kind: number, flags: number, id: number, payload: Uint8Array = new Uint8Array()) => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = kind
  head[4] = flags
  head.writeUInt32BE(id, 5)
  return Buffer.concat([head, payload])
}
const u32 = (...values: number[]) => Buffer.concat(values.map((value) => Buffer.of(value >>> 24, value >>> 16, value >>> 8, value)))
const magic = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const preface = Buffer.concat([magic, frame(4, 0, 0)])
/** `:method` is entry 2 of the static table, `:authority` entry 1; literals without indexing. */
const block = Buffer.concat([Buffer.of(2, 7), Buffer.from('CONNECT'), Buffer.of(1, 3), Buffer.from('a:1')])
const request = (id: number, flags = 4) => frame(1, flags, id, block)

/** All frames that came of `socket`: type, flags, stream, payload. */
async function framesOf(socket: Socket): Promise<[number, number, number, Buffer][]> {
  const bytes = await digest(socket)
  const frames: [number, number, number, Buffer][] = []
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3)
    frames.push([bytes[at + 3]!, bytes[at + 4]!, bytes.readUInt32BE(at + 5), bytes.subarray(at + 9, at + 9 + length)])
    at += 9 + length
  }
  return frames
}

describe('a client that breaks the protocol is told the code (GOAWAY), and its connection ends', () => {
  test.each<[string, number, Buffer[]]>([
    ['PING before SETTINGS', 1, [magic, frame(6, 0, 0, Buffer.alloc(8))]],
    ['a request on an even stream', 1, [preface, request(2)]],
    ['HEADERS on stream 0', 1, [preface, request(0)]],
    ['DATA on a stream that was never opened', 1, [preface, frame(0, 0, 5, Buffer.from('x'))]],
    ['WINDOW_UPDATE on one', 1, [preface, frame(8, 0, 5, u32(1))]],
    ['RST_STREAM on one', 1, [preface, frame(3, 0, 5, u32(8))]],
    ['PUSH_PROMISE', 1, [preface, frame(5, 4, 1, u32(2))]],
    ['a block that something interrupts', 1, [preface, frame(1, 0, 1, block), frame(6, 0, 0, Buffer.alloc(8))]],
    ['a block that DATA interrupts', 1, [preface, request(1), frame(1, 0, 3, block), frame(0, 0, 1, Buffer.from('x'))]],
    ['CONTINUATION of another stream', 1, [preface, frame(1, 0, 1, block), frame(9, 4, 3)]],
    ['SETTINGS_ENABLE_PUSH 2', 1, [preface, frame(4, 0, 0, Buffer.from('000200000002', 'hex'))]],
    ['SETTINGS_MAX_FRAME_SIZE 16383', 1, [preface, frame(4, 0, 0, Buffer.from('000500003fff', 'hex'))]],
    ['SETTINGS_INITIAL_WINDOW_SIZE 2^31', 3, [preface, frame(4, 0, 0, Buffer.from('000480000000', 'hex'))]],
    ['a connection window that overflows', 3, [preface, frame(8, 0, 0, u32(0x7fffffff))]],
    ['a window that grows by nothing', 3, [preface, frame(8, 0, 0, u32(0))]],
    ['DATA after the end', 5, [preface, request(1, 5), frame(0, 0, 1, Buffer.from('x'))]],
    ['PING of seven octets', 6, [preface, frame(6, 0, 0, Buffer.alloc(7))]],
    ['an acknowledgement with settings', 6, [preface, frame(4, 1, 0, Buffer.alloc(6))]],
    ['a table entry that is not there', 9, [preface, frame(1, 4, 1, Buffer.of(0xff, 0x10))]],
    ['a block of empty CONTINUATIONs without end', 11, [preface, frame(1, 0, 1), ...Array.from({ length: 100 }, () => frame(9, 0, 1))]],
    ['a block that is too long', 11, [preface, frame(1, 0, 1, Buffer.alloc(16_000, 0x82)), frame(9, 0, 1, Buffer.alloc(16_000, 0x82))]],
    ['empty DATA without end', 11, [preface, request(1), ...Array.from({ length: 2000 }, () => frame(0, 0, 1))]],
    [
      'streams reset as soon as they are opened',
      11,
      [preface, ...Array.from({ length: 2000 }, (_, i) => Buffer.concat([request(2 * i + 1), frame(3, 0, 2 * i + 1, u32(8))]))],
    ],
  ])('%s: %i', async (_name, expected, bytes) => {
    const { client, server } = await pair()
    const { failed, ended } = serve(server, (tunnel, _headers, made) => void accept(tunnel, made))
    client.end(Buffer.concat(bytes))
    const goaway = (await framesOf(client)).findLast(([kind]) => kind === 7)
    expect(goaway?.[3].readUInt32BE(4)).toBe(expected)
    expect((await failed).message).not.toBe('')
    await ended
  })

  test('DATA beyond the window of a stream', async () => {
    const { client, server } = await pair()
    const { failed } = serve(server, (tunnel, _headers, made) => made.respond(tunnel, [[':status', '200']], false), { windowSize: 65_535 })
    const data = Array.from({ length: 5 }, () => frame(0, 0, 1, Buffer.alloc(16_000)))
    client.on('data', () => {}).write(Buffer.concat([preface, request(1), ...data]))
    expect((await failed).message).toBe("more DATA than the stream's window")
  })
})

test('no more is sent than the window of the connection allows, however large those of the streams are', async () => {
  const { client, server } = await pair()
  serve(server, (tunnel, _headers, made) => void accept(tunnel, made).end(Buffer.alloc(50_000)))
  let seen = Buffer.alloc(0)
  let changed = Promise.withResolvers<void>()
  client.on('data', (bytes: Buffer) => {
    seen = Buffer.concat([seen, bytes])
    changed.resolve()
    changed = Promise.withResolvers()
  })
  const until = async (condition: () => boolean) => {
    while (!condition()) await changed.promise
  }
  const data = () => {
    let octets = 0
    for (let at = 0; at + 9 <= seen.length; at += 9 + seen.readUIntBE(at, 3)) if (seen[at + 3] === 0) octets += seen.readUIntBE(at, 3)
    return octets
  }
  // SETTINGS_INITIAL_WINDOW_SIZE 1 MiB; the connection has its 65535 of the beginning.
  client.write(Buffer.concat([magic, frame(4, 0, 0, Buffer.from('000400100000', 'hex')), request(1), request(3)]))
  await until(() => data() >= 65_535)
  client.write(frame(6, 0, 0, Buffer.from('12345678')))
  await until(() => seen.includes('12345678'))
  expect(data()).toBe(65_535)
  client.write(frame(8, 0, 0, u32(100_000)))
  await until(() => data() >= 100_000)
})

test('an answer that is only informational is not the answer', async () => {
  const { client, server } = await pair()
  const made = new ClientConnection(client, options, { onRetired: () => {}, onClose: () => {} })
  open.push(made)
  const answered = Promise.withResolvers<Headers>()
  made.open(
    [
      [':method', 'CONNECT'],
      [':authority', 'a:1'],
    ],
    answered.resolve,
  )
  const early = Buffer.concat([Buffer.of(8, 3), Buffer.from('103')])
  server.resume().write(Buffer.concat([frame(4, 0, 0), frame(1, 4, 1, early), frame(1, 4, 1, Buffer.of(0x88))]))
  expect((await answered.promise)[':status']).toBe('200')
})

describe('a stream that breaks the protocol is reset, and the others go on', () => {
  test.each<[string, number, Buffer[]]>([
    ['a malformed request', 1, [frame(1, 4, 1, Buffer.of(0x82))]],
    ['trailers that do not end it', 1, [request(1), frame(1, 4, 1, Buffer.of(0, 1, 0x61, 1, 0x62))]],
    ['a window that grows by nothing', 1, [request(1), frame(8, 0, 1, u32(0))]],
    ['a window that overflows', 3, [request(1), frame(8, 0, 1, u32(0x7fffffff))]],
  ])('%s: %i', async (_name, expected, bytes) => {
    const { client, server } = await pair()
    serve(server, (tunnel, _headers, made) => void accept(tunnel, made).end('fine'))
    client.write(Buffer.concat([preface, ...bytes, request(3), frame(0, 1, 3), frame(6, 0, 0, Buffer.from('12345678'))]))
    const chunks: Buffer[] = []
    for await (const chunk of client as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      const all = Buffer.concat(chunks)
      if (all.includes('12345678') && all.includes('fine')) break
    }
    expect(Buffer.concat(chunks).includes(frame(3, 0, 1, u32(expected)))).toBe(true)
  })

  test('a header list that is too long is answered with 431, and what it put into the table is kept', async () => {
    const { client, server } = await pair()
    const seen: Headers[] = []
    serve(server, (tunnel, headers, made) => {
      seen.push(headers)
      accept(tunnel, made)
    })
    // One entry that goes into the table, and many references to it.
    const long = Buffer.concat([
      block,
      Buffer.of(0x40, 1),
      Buffer.from('k'),
      Buffer.of(100),
      Buffer.alloc(100, 0x76),
      Buffer.alloc(300, 0xbe),
    ])
    client.end(Buffer.concat([preface, frame(1, 4, 1, long), frame(1, 4, 3, Buffer.concat([block, Buffer.of(0xbe)]))]))
    const frames = await framesOf(client)
    // 431 has no entry: `:status` is entry 8, a literal.
    expect(frames.find(([kind, , id]) => kind === 1 && id === 1)?.[3]).toEqual(Buffer.concat([Buffer.of(8, 3), Buffer.from('431')]))
    expect({ ...seen[0] }).toEqual({ ':method': 'CONNECT', ':authority': 'a:1', k: 'v'.repeat(100) })
  })
})
