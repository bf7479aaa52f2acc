import { afterEach, expect, test, vi } from 'vitest'
import type { HboneClient } from '../lib/hbone.ts'
import { Pool } from './pool.ts'

/** What the pool needs of a client. */
class FakeClient {
  usable = true
  streams = 0
  maxStreams = Number.POSITIVE_INFINITY
  closed = false
  onChange: () => void = () => {}
  close() {
    this.closed = true
    this.usable = false
    this.onChange()
  }
  destroy() {
    this.close()
  }
}

function setup(maxStreams = 100) {
  const pool = new Pool({ maxStreams, unusedRelease: 1000 })
  const opened: FakeClient[] = []
  const open = vi.fn(async () => {
    const client = new FakeClient()
    opened.push(client)
    await Promise.resolve()
    return client as unknown as HboneClient
  })
  /** As a connection does it: the tunnel is opened in the turn in which the client came. */
  const take = (key = 'k') =>
    pool.use(key, open, async (client) => {
      client.streams++
      return client as unknown as FakeClient
    })
  return { pool, opened, open, take }
}

afterEach(() => void vi.useRealTimers())

test('100 tunnels share one connection, the 101st opens a second', async () => {
  const { take, open, pool } = setup()
  await Promise.all(Array.from({ length: 100 }, () => take()))
  expect(open).toHaveBeenCalledTimes(1)
  await take()
  expect(open).toHaveBeenCalledTimes(2)
  expect(pool.size).toBe(2)
})

test('101 at once open two', async () => {
  const { take, open } = setup()
  await Promise.all(Array.from({ length: 101 }, () => take()))
  expect(open).toHaveBeenCalledTimes(2)
})

test('a great many at once all get one, 100 on each', async () => {
  const { take, open } = setup()
  await Promise.all(Array.from({ length: 3000 }, () => take()))
  expect(open).toHaveBeenCalledTimes(30)
})

test('keys do not share', async () => {
  const { take, open } = setup()
  await Promise.all([take('a'), take('b')])
  expect(open).toHaveBeenCalledTimes(2)
})

test('the server’s own limit counts too', async () => {
  const { take, open, opened } = setup()
  const first = await take()
  first.maxStreams = 1
  await take()
  expect(open).toHaveBeenCalledTimes(2)
  expect(opened).toHaveLength(2)
})

test('all who wait for a connection fail with it, and the next one tries anew', async () => {
  const { pool, open, take } = setup()
  const gate = Promise.withResolvers<never>()
  open.mockImplementationOnce(() => gate.promise)
  const waiting = [1, 2, 3].map(() => pool.use('k', open, async () => {}))
  gate.reject(new Error('tls error: no'))
  for (const one of await Promise.allSettled(waiting))
    expect(one).toMatchObject({ status: 'rejected', reason: { message: 'tls error: no' } })
  expect(open).toHaveBeenCalledTimes(1)
  await take()
  expect(open).toHaveBeenCalledTimes(2)
})

test('a retired connection takes no more', async () => {
  const { take, open } = setup()
  const client = await take()
  client.usable = false
  client.onChange()
  await take()
  expect(open).toHaveBeenCalledTimes(2)
})

test('a connection without tunnels is closed after the release time, not before, not while it is used', async () => {
  vi.useFakeTimers()
  const { take, pool } = setup()
  const client = await take()
  client.streams = 0
  client.onChange()
  await vi.advanceTimersByTimeAsync(999)
  expect(client.closed).toBe(false)
  await take()
  await vi.advanceTimersByTimeAsync(5000)
  expect(client.closed).toBe(false)
  client.streams = 0
  client.onChange()
  await vi.advanceTimersByTimeAsync(1000)
  expect(client.closed).toBe(true)
  expect(pool.size).toBe(0)
})

test('a server that closes every connection at once is not tried for ever', async () => {
  const { pool, open } = setup()
  open.mockImplementation(async () => Object.assign(new FakeClient(), { usable: false }) as unknown as HboneClient)
  await expect(pool.use('k', open, async () => {})).rejects.toThrow('closes every connection')
  expect(open.mock.calls.length).toBeLessThan(50)
})

test('after close nothing is given out', async () => {
  const { pool, take } = setup()
  const client = await take()
  pool.close()
  expect(client.closed).toBe(true)
  await expect(take()).rejects.toThrow('shutting down')
})
