import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Conntrack } from './conntrack.ts'
import { TestNode } from './test-node.ts'

/** enum ip_conntrack_status: IPS_SEEN_REPLY. */
const seenReply = 2

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

  test('cost others no evidence: connections and sockets of what is no load are told as ever', async () => {
    node.server.sh(
      'nft add table ip t; nft add chain ip t o "{ type nat hook output priority -100; }"; nft add rule ip t o tcp dport 8081 redirect to :8080;' +
        'nft add chain ip t m "{ type filter hook output priority -150; }"; nft add rule ip t m tcp dport 8081 ct mark set 0x111',
    )
    await node.server.listen('127.0.0.1', 8080, (socket) => socket.on('data', () => socket.end('answer')))
    /** A redirected connection over the server's lo, with its port as `N`, and what is told of it. */
    const told = async (marker: string, closed = true) => {
      const client = await node.server.connect('10.244.1.6', 8081, { mark: 0x123 })
      const port = client.localPort!
      const ended = new Promise((done) => client.on('close', done))
      client.resume()
      // Its sockets are asked for while they stand.
      await node.session.mark(`${marker.slice(0, -1)}0`)
      if (closed) {
        client.write('ping')
        await ended
      }
      await node.session.mark(marker)
      const named = (value: unknown) => JSON.stringify(value).replaceAll(`:${port}"`, ':N"')
      const connections = node
        .lines<Conntrack & { netns: string }>('conntrack')
        .filter(({ netns, orig }) => netns === 'demo.server' && orig.from.endsWith(`:${port}`))
      const sockets = node.lines<{ netns: string; local: string; peer: string; mark: number; uid: number }>('sockets')
      return {
        port,
        close: async () => {
          client.destroy()
          await ended
        },
        connections: new Set(connections.map(({ protocol, orig, reply, mark, zone }) => named({ protocol, orig, reply, mark, zone }))),
        last: connections.at(-1)!.status & seenReply,
        sockets: new Set(
          sockets
            .filter(({ local, peer }) => `${local} ${peer} `.includes(`:${port} `))
            .map(({ netns, local, peer, mark, uid }) => named({ netns, local, peer, mark, uid })),
        ),
      }
    }
    const before = await told('others-00011')
    expect(before.connections).toEqual(
      new Set([
        '{"protocol":"tcp","orig":{"from":"10.244.1.6:N","to":"10.244.1.6:8081"},"reply":{"from":"127.0.0.1:8080","to":"10.244.1.6:N"},"mark":273,"zone":0}',
      ]),
    )
    expect(before.sockets.size).toBe(2)
    // Groups as a mask of bits: those of new, changed and gone connections, and of destroyed sockets of both families.
    const listeners = () =>
      node.server
        .sh('cat /proc/net/netlink')
        .split('\n')
        .map((line) => line.trim().split(/\s+/))
        .map(([, protocol, , groups = '']) => ({ protocol, groups: Number.parseInt(groups, 16) }))
    const netfilter = () => listeners().filter(({ protocol, groups }) => protocol === '12' && (groups & 0b111) !== 0)
    const sockets = () => listeners().filter(({ protocol, groups }) => protocol === '4' && (groups & 0b101) !== 0)
    expect([netfilter().length, sockets().length]).toEqual([1, 1])
    const early = await told('others-00021', false)
    expect(early.sockets.size).toBe(0)
    await node.session.spare([client])
    // Nobody will see it go.
    expect(node.lines<{ local: string }>('sockets').filter(({ local }) => local.endsWith(`:${early.port}`))).toHaveLength(1)
    await early.close()
    // The kernel makes no event of the load's.
    expect([netfilter().length, sockets().length]).toEqual([0, 0])
    const during = await told('others-00071')
    expect(during).toMatchObject({ connections: before.connections, last: seenReply, sockets: before.sockets })
    // One that stands when it is over is told when it goes.
    const standing = await told('others-00031', false)
    expect(standing.connections).toEqual(before.connections)
    await node.session.spare([])
    expect([netfilter().length, sockets().length]).toEqual([1, 1])
    const count = node.lines('sockets').length
    await standing.close()
    await node.session.mark('others-00041')
    expect(node.lines('sockets').length).toBeGreaterThan(count)
    expect(await told('others-00061')).toMatchObject({ connections: before.connections, last: seenReply, sockets: before.sockets })
    const events = (netns: string) => node.lines<{ netns: string; event: string }>('conntrack').filter((l) => l.netns === netns)
    expect(new Set(events('demo.server').map(({ event }) => event))).toEqual(new Set(['new', 'update', 'entry']))
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
    const standing = await node.client.connect('10.244.1.6', 8080)
    await node.session.watch(node.pods)
    const port = await node.exchange()
    await node.session.mark('later-000001')
    expect(packets(port)).toEqual([])
    for (const spared of [port, standing.localPort!]) expect(lines('sockets', spared)).toEqual([])
    standing.destroy()
  })

  test('what is no address is refused, with the address', async () => {
    await expect(node.session.spare(['10.0.0.256'])).rejects.toThrow(/not an IPv4 address: "10.0.0.256"/)
  })
})
