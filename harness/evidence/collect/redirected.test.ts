import { writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { observations, openBundle } from '../bundle.ts'
import { TestNode } from './test-node.ts'
import { inPodRules } from './testbed.ts'
import type { Trace } from './traces.ts'

let at: TestNode
beforeEach(async () => {
  at = await TestNode.create()
})
afterEach(() => at[Symbol.asyncDispose]())

/** Every traced walk: the first line's packet, and its lines. */
function walks(netns: string): { packet: string; flags: number; lines: Trace[] }[] {
  const all: ReturnType<typeof walks> = []
  for (const line of at.lines<Trace & { netns: string }>('traces')) {
    if (line.netns !== netns) continue
    if (line.nh === undefined || line.th === undefined) all.findLast((walk) => walk.lines[0]!.traceId === line.traceId)!.lines.push(line)
    else {
      const nh = Buffer.from(line.nh, 'hex')
      const th = Buffer.from(line.th, 'hex')
      const ends = [
        `${[...nh.subarray(12, 16)].join('.')}:${th.readUInt16BE(0)}`,
        `${[...nh.subarray(16, 20)].join('.')}:${th.readUInt16BE(2)}`,
      ]
      all.push({ packet: ends.join(' > '), flags: nh[9] === 6 ? th[13]! : 0, lines: [line] })
    }
  }
  return all
}

const handleOf = (table: string, chain: string, pattern: RegExp) =>
  Number(
    at.client
      .sh(`nft -a list chain ip ${table} ${chain}`)
      .split('\n')
      .find((line) => pattern.test(line))!
      .match(/# handle (\d+)/)![1],
  )

test('one redirected connection: packets of both ends, rules by handle with marks, sockets, conntrack', async () => {
  at.client.sh('iptables-restore --noflush', inPodRules)
  at.client.sh('ip rule add fwmark 0x111/0xfff pref 32764 lookup 100; ip route replace local 0.0.0.0/0 dev lo table 100')
  expect(await at.session.watch(at.pods)).toEqual(['node', 'demo.client', 'demo.server'])
  await at.session.mark('before-00001')
  await at.server.listen('10.244.1.6', 8080, (socket) => socket.on('data', () => socket.end('pong')))
  const proxy = async (socket: Socket) => {
    const upstream = await at.client.connect('10.244.1.6', 8080, { mark: 0x539 })
    socket.pipe(upstream)
    upstream.pipe(socket)
  }
  await at.client.listen('127.0.0.1', 15001, proxy, 0x539)
  const port = await at.exchange()
  await at.session.mark('after-000001')

  // Packets: the redirected half on lo, the proxy's own half on the wire at both ends, each with its direction and text.
  const packets = at.tshark(
    'frame.interface_name',
    'frame.packet_flags_direction',
    'ip.src',
    'tcp.srcport',
    'ip.dst',
    'tcp.dstport',
    'tcp.payload',
    'tcp.flags.str',
  )
  const ping = packets
    .filter(([, , , , , , payload]) => payload === Buffer.from('ping').toString('hex'))
    .map((fields) => fields.slice(0, 6).join(' '))
  const upstream = packets.find(
    ([dev, , , , , dport, , flags]) => dev === 'n1/demo.client/eth0' && dport === '8080' && flags!.includes('S'),
  )![3]!
  expect(ping.sort()).toEqual(
    [
      `n1/demo.client/lo 0x00000002 10.244.1.5 ${port} 127.0.0.1 15001`,
      `n1/demo.client/lo 0x00000001 10.244.1.5 ${port} 127.0.0.1 15001`,
      `n1/demo.client/eth0 0x00000002 10.244.1.5 ${upstream} 10.244.1.6 8080`,
      `n1/demo.server/eth0 0x00000001 10.244.1.5 ${upstream} 10.244.1.6 8080`,
    ].sort(),
  )

  // Traces: the rules of each direction's opening and first data.
  const walk = (packet: string, flags: number, table: string) =>
    walks('demo.client')
      .filter((w) => w.packet === packet && w.flags === flags && w.lines[0]!.table === table)
      .flatMap((w) => w.lines)
  const redirect = handleOf('nat', 'ISTIO_OUTPUT', /redirect to/)
  const restore = handleOf('mangle', 'ISTIO_OUTPUT', /ct mark/)
  const remember = handleOf('mangle', 'ISTIO_PRERT', /ct mark/)
  const [app, wire] = [`10.244.1.5:${port} > 10.244.1.6:8080`, `10.244.1.5:${upstream} > 10.244.1.6:8080`]
  const [SYN, SYNACK, DATA] = [0x02, 0x12, 0x18]
  expect(walk(app, SYN, 'nat')).toContainEqual(
    expect.objectContaining({ chain: 'ISTIO_OUTPUT', type: 'rule', handle: redirect, verdict: 'accept', mark: 0 }),
  )
  expect(walk(`127.0.0.1:15001 > 10.244.1.5:${port}`, SYNACK, 'mangle')[0]).toMatchObject({ chain: 'OUTPUT', mark: 0x539, oif: 'lo' })
  // Back from NAT the SYN-ACK has the server's address; its mark is what the connection remembers from here on.
  expect(walk(`10.244.1.6:8080 > 10.244.1.5:${port}`, SYNACK, 'mangle')).toContainEqual(
    expect.objectContaining({ chain: 'ISTIO_PRERT', handle: remember, mark: 0x539, type: 'rule' }),
  )
  expect(walk(app, DATA, 'mangle')).toContainEqual(
    expect.objectContaining({ chain: 'ISTIO_OUTPUT', handle: restore, mark: 0x111, type: 'rule' }),
  )
  expect(walk(`10.244.1.6:8080 > 10.244.1.5:${port}`, DATA, 'mangle').length).toBeGreaterThan(0)
  // The proxy's own connection is left alone by the redirect rule.
  const own = walk(wire, SYN, 'nat')
  expect(own.at(-1)).toMatchObject({ type: 'policy', verdict: 'accept', mark: 0x539 })
  expect(own.map(({ handle }) => handle)).not.toContain(redirect)
  for (const [ends, flags] of [
    [wire, DATA],
    [wire.split(' > ').reverse().join(' > '), SYNACK],
    [wire.split(' > ').reverse().join(' > '), DATA],
  ] as const)
    expect(walk(ends, flags, 'mangle').length).toBeGreaterThan(0)
  // Only the first data packet of a direction.
  expect(walks('demo.client').filter((w) => w.packet === app && w.flags === DATA && w.lines[0]!.table === 'everyhop')).toHaveLength(1)

  expect(at.lines('sockets')).toContainEqual(
    expect.objectContaining({ netns: 'demo.client', local: `10.244.1.5:${upstream}`, peer: '10.244.1.6:8080', mark: 0x539 }),
  )
  expect(at.lines('conntrack')).toContainEqual(
    expect.objectContaining({
      netns: 'demo.client',
      orig: { from: `10.244.1.5:${port}`, to: '10.244.1.6:8080' },
      reply: { from: '127.0.0.1:15001', to: `10.244.1.5:${port}` },
      mark: 0x111,
    }),
  )
  await at.session.snapshot('after')
  writeFileSync(
    join(at.bundle, 'bundle.json'),
    JSON.stringify({ schema: 1, run: 'r', provider: 'lab', mode: 'inpod', release: 'today', startedAt: 0, endedAt: 1 }),
  )
  const opened = openBundle(at.bundle)
  // What the parsers make of it: traces know their rules' texts.
  const found = observations(opened)
  const rules = found.filter((o) => o.kind === 'trace').filter(({ from, table }) => from === `10.244.1.5:${port}` && table === 'nat')
  expect(rules.map(({ rule }) => rule)).toContain(
    '-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001',
  )
  for (const kind of ['socket', 'conntrack', 'marker', 'loss', 'rule', 'policy-rule', 'route', 'listener'])
    expect(found.map((o) => o.kind)).toContain(kind)
  expect(opened.notes).toEqual([])
  expect(at.lines<{ id: string }>('markers').map(({ id }) => id)).toEqual(['before-00001', 'after-000001'])
  const stats = at.lines<{ netns: string; stream: string; lost: number }>('stats')
  expect(new Set(stats.map(({ netns, stream }) => `${netns} ${stream}`)).size).toBe(3 * 4 + 1)
  expect(stats.filter(({ lost }) => lost > 0)).toEqual([])
})
