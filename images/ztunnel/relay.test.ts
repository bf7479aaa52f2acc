import { connect, createServer, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import type { Traffic } from './access-log.ts'
import { type Abort, relay } from './relay.ts'
import { SocketEnd } from './socket-end.ts'

const open: { destroy?(): void; close?(): void }[] = []
afterEach(() => {
  for (const what of open.splice(0)) what.destroy ? what.destroy() : what.close?.()
})

/** Two ends of a loopback connection that allow half-close. */
async function pair(): Promise<[Socket, Socket]> {
  const accepted = Promise.withResolvers<Socket>()
  const server = createServer({ allowHalfOpen: true }, accepted.resolve)
  open.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const near = connect({ port: (server.address() as { port: number }).port, host: '127.0.0.1', allowHalfOpen: true })
  await new Promise((resolve) => near.once('connect', resolve))
  const far = await accepted.promise
  for (const socket of [near, far]) {
    open.push(socket)
    socket.on('error', () => {})
  }
  return [near, far]
}

/** app ⇄ [a · relay · b] ⇄ peer */
async function setup() {
  const [app, a] = await pair()
  const [peer, b] = await pair()
  const traffic: Traffic = { sent: 0, received: 0 }
  let abort: Abort = () => {}
  const done = relay(new SocketEnd(a), new SocketEnd(b), traffic, (end) => {
    abort = end
  })
  done.catch(() => {})
  return { app, peer, traffic, done, abort: (reason: string) => abort(reason) }
}

const all = async (socket: Socket) => {
  let text = ''
  for await (const chunk of socket) text += chunk
  return text
}

test('bytes are counted each way and half-closes passed on', async () => {
  const { app, peer, traffic, done } = await setup()
  app.end('question')
  expect(await all(peer)).toBe('question')
  peer.end('an answer')
  expect(await all(app)).toBe('an answer')
  await done
  expect(traffic).toEqual({ sent: 8, received: 9 })
})

test('a slow reader slows the writer: what is held stays small', async () => {
  const { app, peer, traffic } = await setup()
  peer.pause()
  const chunk = Buffer.alloc(1 << 20)
  let written = 0
  await new Promise<void>((resolve) => {
    const push = () => {
      if (written >= 256 << 20) return resolve()
      written += chunk.length
      const before = traffic.sent
      if (app.write(chunk)) return setImmediate(push)
      const timer = setTimeout(() => (traffic.sent === before ? resolve() : push()), 200)
      app.once('drain', () => {
        clearTimeout(timer)
        push()
      })
    }
    push()
  })
  expect(traffic.sent).toBeLessThan(64 << 20)
})

test('a reset on one side is an error here and an ordinary end on the other', async () => {
  const { app, peer, done } = await setup()
  app.write('x')
  await new Promise((resolve) => peer.once('data', resolve))
  const ended = all(app)
  peer.resetAndDestroy()
  await expect(done).rejects.toThrow(/^io error: /)
  expect(await ended).toBe('')
})

test('abort ends both sides with the given words', async () => {
  const { app, peer, done, abort } = await setup()
  const ends = [all(app), all(peer)]
  abort('connection closed due to policy change')
  await expect(done).rejects.toThrow('connection closed due to policy change')
  await Promise.all(ends)
})

test('a side that is gone already fails the relay', async () => {
  const [, a] = await pair()
  const [, b] = await pair()
  a.destroy()
  await expect(relay(new SocketEnd(a), new SocketEnd(b), { sent: 0, received: 0 }, () => {})).rejects.toThrow(/^io error/)
})

/** A side that notes how its bytes were written: one entry for each write, as a system call would be. */
function side(take: (callback: () => void) => void = (callback) => callback()) {
  const writes: Buffer[] = []
  const note = (bytes: Buffer, callback: () => void) => {
    writes.push(Buffer.from(bytes))
    take(callback)
  }
  const stream = new Duplex({
    read() {},
    write: (chunk: Buffer, _encoding, callback) => note(chunk, callback),
    writev: (chunks, callback) => note(Buffer.concat(chunks.map((c) => c.chunk as Buffer)), callback),
  })
  return { stream, writes, end: new SocketEnd(Object.assign(stream, { destroySoon: () => stream.destroy() }) as unknown as Socket) }
}

test('large chunks of one turn are written at once; a small one does not wait', async () => {
  const [near, far] = [side(), side()]
  relay(near.end, far.end, { sent: 0, received: 0 }, () => {}).catch(() => {})
  for (let i = 0; i < 32; i++) near.stream.push(Buffer.alloc(8192, i))
  await new Promise((resolve) => setImmediate(resolve))
  await new Promise((resolve) => setImmediate(resolve))
  expect(far.writes.map((w) => w.length)).toEqual([32 * 8192])
  near.stream.push(Buffer.from('small'))
  await new Promise<void>((resolve) => process.nextTick(resolve))
  expect(far.writes.at(-1)!.toString()).toBe('small')
  near.stream.destroy()
})

test('whatever the sizes of chunks and the pace of the sides, all bytes arrive in order, then the end', async () => {
  const size = fc.oneof(fc.nat(100), fc.nat(20_000), fc.constantFrom(4096, 4097, 300_000))
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(size, fc.boolean()), { maxLength: 20 }), fc.boolean(), async (chunks, slow) => {
      const near = side()
      const far = side((callback) => (slow ? setImmediate(callback) : callback()))
      const traffic = { sent: 0, received: 0 }
      const done = relay(near.end, far.end, traffic, () => {})
      let n = 0
      for (const [length, pause] of chunks) {
        near.stream.push(Buffer.alloc(length, n++))
        if (pause) await new Promise((resolve) => setImmediate(resolve))
      }
      near.stream.push(null)
      far.stream.push(null)
      await done
      const sent = Buffer.concat(chunks.map(([length], i) => Buffer.alloc(length, i)))
      expect(Buffer.concat(far.writes).equals(sent)).toBe(true)
      expect(traffic.sent).toBe(sent.length)
    }),
    { numRuns: 100 },
  )
})
