import { expect, test } from 'vitest'
import { issueLeaf, loadCa } from '../lib/ca.ts'
import { TunnelStream } from '../lib/h2/tunnel-stream.ts'
import { HboneClient, hboneDefaults } from '../lib/hbone.ts'
import { connectMtls, mtlsContext } from '../lib/mtls.ts'
import { exchange } from './testbed/network.ts'
import { state, world } from './testbed/world.ts'
import { Ztunnel } from './testbed/ztunnel.ts'

// How proxies end: a pod that leaves, a ztunnel that is replaced. Tests build on each other in order.
const w = world()
const identity = { trustDomain: 'cluster.local', namespace: 'demo', serviceAccount: 'stranger' }

/** An HBONE connection from `plain` to the server's 15008, such as another node's ztunnel keeps pooled; and when it was told to be no more. */
async function peer() {
  const leaf = await issueLeaf(loadCa(w.zt.ca), identity, 600_000)
  const raw = w.bed.dial(w.plain, w.server.ip, 15008)
  raw.on('error', () => {})
  await new Promise((resolve) => raw.once('connect', resolve))
  const { socket } = await connectMtls(raw, mtlsContext(leaf), ['spiffe://cluster.local/ns/demo/sa/server'], 3000)
  const client = new HboneClient(socket, hboneDefaults)
  const retired = new Promise<void>((resolve) => {
    client.onChange = () => !client.usable && resolve()
  })
  return { client, retired }
}

test('a pod that leaves tells its peers (GOAWAY) and closes what is open, with the reason in the log', async () => {
  const idle = await peer()
  const busy = await peer()
  ;(await idle.client.connect('10.77.0.3:8080', {})).tunnel.giveUp()
  const stream = new TunnelStream((await busy.client.connect('10.77.0.3:8080', {})).tunnel)
  const ended = new Promise((resolve) => stream.on('error', () => {}).once('close', resolve))
  const live = w.bed.dial(w.client, w.server.ip, 8080)
  await new Promise((resolve) => live.once('data', resolve))
  const liveEnded = new Promise((resolve) =>
    live
      .on('error', () => {})
      .once('end', resolve)
      .resume(),
  )
  const from = w.zt.lines.length
  const agent = await w.zt.agent()
  expect(await agent.send({ del: { uid: 'uid-server' } })).toBeUndefined()
  await Promise.all([idle.retired, busy.retired, ended, liveEnded])
  expect(await w.zt.line(/src\.addr=10\.77\.0\.4.*direction="inbound"/, from)).toMatch(
    /\terror\t.*error="connection closed due to connection drain"$/,
  )
  live.destroy()
})

test('a pod that comes back is reached at once, although its peers had pooled connections to it', async () => {
  const agent = await w.zt.agent()
  expect(await agent.add(w.server, 'server')).toBeUndefined()
  const began = performance.now()
  expect(await exchange(w.bed.dial(w.client, w.server.ip, 8080), 'back')).toBe('10.77.0.2 back')
  expect(performance.now() - began).toBeLessThan(10_000)
})

test('at a roll-out no request on a new connection is lost, of 500; idle peers hear GOAWAY; tunnels that are open end well', async () => {
  const next = new Ztunnel()
  try {
    const idle = await peer()
    const busy = await peer()
    const stream = new TunnelStream((await busy.client.connect('10.77.0.3:8080', {})).tunnel)
    const said = new Promise<string>((resolve) => stream.once('data', (chunk) => resolve(String(chunk))))
    const keep = w.bed.dial(w.client, w.server.ip, 8080)
    await new Promise((resolve) => keep.once('data', resolve))

    const results: (string | Error)[] = []
    let stop = false
    /** Each worker has one request under way, on a connection of its own. */
    const worker = async (id: number) => {
      for (let i = 0; !stop || results.length < 500; i++)
        results.push(
          await exchange(w.bed.dial(w.client, i % 2 ? '10.96.0.80' : w.server.ip, i % 2 ? 80 : 8080), `${id}.${i}`).catch((e: Error) => e),
        )
    }
    const workers = Array.from({ length: 8 }, (_, id) => worker(id))
    await next.start(state(), { bed: w.bed, pod: w.bed.pod('next', '10.77.0.10', false), ca: w.zt.ca })
    const agent = await next.agent()
    expect(await agent.add(w.client, 'client')).toBeUndefined()
    expect(await agent.add(w.server, 'server')).toBeUndefined()
    expect(await agent.send({ snapshotSent: {} })).toBeUndefined()
    w.zt.signal('SIGTERM')
    await idle.retired
    await busy.retired
    expect(await said).toBe('10.77.0.4 ')
    const last = new Promise<string>((resolve) => stream.once('data', (chunk) => resolve(String(chunk))))
    const over = new Promise((resolve) => stream.once('close', resolve))
    stream.end('end')
    expect(await last).toBe('end')
    await over
    expect(stream.rstCode).toBe(0)
    expect(await exchange(keep, 'kept')).toBe('kept')
    expect(await w.zt.exited).toBe(0)
    stop = true
    await Promise.all(workers)
    expect(results.filter((r) => typeof r !== 'string' || !/^10\.77\.0\.2 \d+\.\d+$/.test(r))).toEqual([])
    expect(results.length).toBeGreaterThanOrEqual(500)
    expect([...w.zt.lines, ...next.lines].filter((l) => /unexpected/.test(l))).toEqual([])
  } finally {
    await next.close()
  }
}, 40_000)
