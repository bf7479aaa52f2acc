import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { listenSeqpacket, type Packet, SeqpacketSocket } from './seqpacket.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'everyhop-seqpacket-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

test('packets keep their borders and carry descriptors both ways; the end is told once', async () => {
  const path = join(dir, 's')
  const server = Promise.withResolvers<SeqpacketSocket>()
  const listener = listenSeqpacket(path, 1024, server.resolve)
  const client = SeqpacketSocket.connect(path, 1024)
  const peer = await server.promise
  const packets: Packet[] = []
  const two = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<Error | undefined>()
  client.start((p) => {
    packets.push(p)
    if (packets.length === 2) two.resolve()
  }, ended.resolve)
  const file = openSync('/proc/self/comm', 'r')
  peer.send(Buffer.from('one'))
  peer.send(Buffer.from('two'), [file])
  closeSync(file)
  await two.promise
  expect(packets.map((p) => p.data.toString())).toEqual(['one', 'two'])
  const received = packets[1]!.fds[0]!
  expect(readFileSync(received, 'utf8')).toBe(readFileSync('/proc/self/comm', 'utf8'))
  closeSync(received)
  peer.close()
  expect(await ended.promise).toBeUndefined()
  client.close()
  listener.close()
})

test('a packet longer than the limit is marked truncated', async () => {
  const path = join(dir, 's')
  const server = Promise.withResolvers<SeqpacketSocket>()
  const listener = listenSeqpacket(path, 8, server.resolve)
  const client = SeqpacketSocket.connect(path, 8)
  const peer = await server.promise
  const got = Promise.withResolvers<Packet>()
  peer.start(got.resolve, () => {})
  client.send(Buffer.from('123456789'))
  expect(await got.promise).toMatchObject({ truncated: true })
  for (const x of [client, peer, listener]) x.close()
})

test('connecting to nothing names the path', () => {
  expect(() => SeqpacketSocket.connect(join(dir, 'none'), 8)).toThrow(/connect: errno 2 .*none/)
})

test('a listener that ends leaves the socket file of the one that came after it', () => {
  const path = join(dir, 's')
  const first = listenSeqpacket(path, 1024, (socket) => socket.close())
  const second = listenSeqpacket(path, 1024, (socket) => socket.close())
  first.close()
  SeqpacketSocket.connect(path, 1024).close()
  second.close()
  expect(existsSync(path)).toBe(false)
})
