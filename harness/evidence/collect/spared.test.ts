import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TestNode } from './test-node.ts'

/** The client's flows are a load's, those of the other pod are not. */
describe.skipIf(process.getuid?.() !== 0)('flows that are spared (needs root)', () => {
  let node: TestNode
  const client = '10.244.1.5'
  const mark = 'markmark'
  const token = (seq: number) => `${mark}.${String(seq).padStart(6, '0')}.0123456789abcdef`

  beforeEach(async () => {
    node = await TestNode.create()
    // Without a rule that asks for it, the kernel tracks no connection.
    node.client.sh(
      'nft add table ip t; nft add chain ip t c "{ type filter hook output priority 0; }"; nft add rule ip t c ct state new accept',
    )
    await node.server.listen('10.244.1.6', 8080, (socket) => socket.on('data', () => socket.end('answer')))
    await node.client.listen('10.244.1.5', 8080, (socket) => socket.on('data', () => socket.end('answer')))
    await node.session.watch(node.pods)
  })
  afterEach(() => node[Symbol.asyncDispose]())

  const lines = (file: string, port: number) =>
    node.lines<Record<string, unknown>>(file).filter((l) => JSON.stringify(l).includes(`:${port}"`))
  const packets = (port: number) => node.tshark('tcp.srcport', 'tcp.dstport').filter((ends) => ends.includes(`${port}`))

  test('are in no stream, and back in all of them when it is over', async () => {
    await node.session.mark('before-00001')
    await node.session.spare([client])
    const spared = await node.exchange()
    await node.session.mark('spared-00001')
    await node.session.spare([])
    const watched = await node.exchange()
    await node.session.mark('after-000001')
    for (const [port, seen] of [
      [spared, false],
      [watched, true],
    ] as const) {
      expect(packets(port).length > 0, `packets of ${port}`).toBe(seen)
      for (const file of ['sockets', 'conntrack']) expect(lines(file, port).length > 0, `${file} of ${port}`).toBe(seen)
      const traced = node.lines<{ th?: string }>('traces').filter((l) => l.th?.startsWith(port.toString(16).padStart(4, '0')))
      expect(traced.length > 0, `traces of ${port}`).toBe(seen)
    }
    expect(node.lines<{ lost: number }>('stats').filter((l) => l.lost > 0)).toEqual([])
  })

  test('are read when they are searched: each token once for each device, and only some packets are written', async () => {
    await node.session.spare([client], mark)
    const ports: number[] = []
    for (let seq = 0; seq < 210; seq++) ports.push(await node.exchange(`POST ${token(seq)}`))
    await node.exchange('nothing to see')
    await node.session.mark('searched-001')
    const seen = node.lines<{ netns: string; dev: string; direction: string; token: string; t: number }>('sightings')
    for (const netns of ['demo.client', 'demo.server'])
      expect(seen.filter((s) => s.netns === netns).map((s) => s.token)).toEqual(ports.map((_, seq) => token(seq)))
    expect(new Set(seen.map((s) => `${s.netns} ${s.dev} ${s.direction}`))).toEqual(new Set(['demo.client eth0 out', 'demo.server eth0 in']))
    expect(Math.abs(seen[0]!.t / 1000 - Date.now())).toBeLessThan(60_000)
    // One packet of each of the first 200 connections, in each of two namespaces.
    expect(packets(8080)).toHaveLength(400)
    expect(packets(ports[0]!)).toHaveLength(2)
    expect(packets(ports[205]!)).toEqual([])
  })

  test("a token that is not the load's is not told", async () => {
    await node.session.spare([client], 'othermark')
    await node.exchange(`POST ${token(1)}`)
    await node.session.mark('searched-002')
    expect(node.lines('sightings')).toEqual([])
  })

  test('a pod that is watched later is spared too', async () => {
    await node.session.unwatch(node.pods)
    await node.session.spare([client])
    await node.session.watch(node.pods)
    const port = await node.exchange()
    await node.session.mark('later-000001')
    expect(packets(port)).toEqual([])
  })

  test('what is no address is refused, with the address', async () => {
    await expect(node.session.spare(['10.0.0.256'])).rejects.toThrow(/not an IPv4 address: "10.0.0.256"/)
  })
})
