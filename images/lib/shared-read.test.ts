import { once } from 'node:events'
import { createServer, connect as dial, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { afterEach, expect, test } from 'vitest'
import { readShared } from './shared-read.ts'

const open: Socket[] = []
afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy()
})

async function pair(): Promise<{ near: Socket; far: Socket }> {
  const listener = createServer({ allowHalfOpen: true })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const near = dial({ port: (listener.address() as { port: number }).port, host: '127.0.0.1', allowHalfOpen: true })
  const [far] = (await once(listener, 'connection')) as [Socket]
  listener.close()
  open.push(near, far)
  return { near, far }
}

test('all bytes come in order, those that were read before first, then the end; one memory for all', async () => {
  const { near, far } = await pair()
  far.write('before ')
  // Read by Node itself, into memory of its own.
  await once(near, 'readable')
  const other = await pair()
  let text = ''
  const memories = new Set<ArrayBufferLike>()
  readShared(near, (bytes) => {
    text += bytes
    memories.add(bytes.buffer)
  })
  readShared(other.near, (bytes) => memories.add(bytes.buffer))
  memories.clear()
  far.end('after')
  other.far.write('x')
  await Promise.all([once(near, 'end'), new Promise((resolve) => setImmediate(resolve))])
  expect(text).toBe('before after')
  other.far.end('y')
  await once(other.near, 'end')
  expect(memories.size).toBe(1)
})

test('a socket that is paused by who takes its bytes brings no more until it is resumed', async () => {
  const { near, far } = await pair()
  const size = 4 << 20
  let taken = 0
  const first = Promise.withResolvers<void>()
  readShared(near, (bytes) => {
    taken += bytes.length
    near.pause()
    first.resolve()
  })
  far.end(Buffer.alloc(size))
  await first.promise
  const before = taken
  // Bytes that are there already would come in these turns.
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
  expect(taken).toBe(before)
  const ended = once(near, 'end')
  const timer = setInterval(() => near.resume(), 1)
  await ended
  clearInterval(timer)
  expect(taken).toBe(size)
})

test('what is no socket of Node is read as a stream', async () => {
  const stream = new Duplex({ read() {} })
  let text = ''
  readShared(stream as Socket, (bytes) => {
    text += bytes
  })
  stream.push('some')
  stream.push('thing')
  stream.push(null)
  await once(stream, 'end')
  expect(text).toBe('something')
})
