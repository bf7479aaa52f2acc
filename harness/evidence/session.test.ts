import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AF_INET, SOCK_STREAM } from '../../images/lib/libc.ts'
import { socketInNetns } from '../../images/lib/netns.ts'
import { observations, openBundle } from './bundle.ts'
import { inPodRules, TestCgroup, TestNetns } from './collect/testbed.ts'
import type { Trace } from './collect/traces.ts'
import { CollectorError, CollectorSession } from './session.ts'

/** A node with two pods, a real collector process in the node's namespace. */
let bundle: string
let node: TestNetns
let client: TestNetns
let server: TestNetns
let cgroups: TestCgroup[]
let pods: { namespace: string; name: string; uid: string; role?: 'ztunnel' }[]
let collectorPid: number
let session: CollectorSession

beforeEach(async () => {
  bundle = mkdtempSync(join(tmpdir(), 'everyhop-session-'))
  node = await TestNetns.create()
  client = await TestNetns.create()
  server = await TestNetns.create()
  client.join('eth0', '10.244.1.5', server, 'eth0', '10.244.1.6')
  cgroups = [new TestCgroup(client.pid), new TestCgroup(server.pid)]
  pods = [
    { namespace: 'demo', name: 'client', uid: cgroups[0]!.uid },
    { namespace: 'demo', name: 'server', uid: cgroups[1]!.uid },
  ]
  session = start()
})
afterEach(async () => {
  await session.stop()
  for (const netns of [node, client, server]) netns[Symbol.dispose]()
  for (const cgroup of cgroups) cgroup[Symbol.dispose]()
  rmSync(bundle, { recursive: true })
})

function start(): CollectorSession {
  const runProgram = (program: string, args: readonly string[]) => {
    const child = spawn('nsenter', [`--net=${node.path}`, process.execPath, resolve(program), ...args])
    collectorPid = child.pid!
    return child
  }
  return new CollectorSession({ name: 'n1', runProgram }, bundle)
}

/** Lines of one of the node's evidence files. */
function lines<T>(file: string): T[] {
  return readFileSync(join(bundle, 'evidence/n1', `${file}.jsonl`), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T)
}

function tshark(...fields: string[]): string[][] {
  const args = [
    '-r',
    join(bundle, 'evidence/n1/packets.pcapng'),
    '-T',
    'fields',
    '-E',
    'separator=|',
    ...fields.flatMap((field) => ['-e', field]),
  ]
  const text = execFileSync('tshark', args, { stdio: ['ignore', 'pipe', 'pipe'] }).toString()
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('|'))
}

/** The client says ping to the server's port 8080 and is answered pong. @returns the client's port */
async function exchange(body = 'ping'): Promise<number> {
  const socket = await client.connect('10.244.1.6', 8080)
  const port = socket.localPort!
  const closed = new Promise((done) => socket.on('close', done))
  socket.resume()
  socket.write(body)
  await closed
  return port
}

/** Every traced walk: the first line's packet, and its lines. */
function walks(netns: string): { packet: string; flags: number; lines: Trace[] }[] {
  const all: ReturnType<typeof walks> = []
  for (const line of lines<Trace & { netns: string }>('traces')) {
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
    client
      .sh(`nft -a list chain ip ${table} ${chain}`)
      .split('\n')
      .find((line) => pattern.test(line))!
      .match(/# handle (\d+)/)![1],
  )

test('one redirected connection: packets of both ends, rules by handle with marks, sockets, conntrack', async () => {
  client.sh('iptables-restore --noflush', inPodRules)
  client.sh('ip rule add fwmark 0x111/0xfff pref 32764 lookup 100; ip route replace local 0.0.0.0/0 dev lo table 100')
  expect(await session.watch(pods)).toEqual(['node', 'demo.client', 'demo.server'])
  await session.mark('before-00001')
  await server.listen('10.244.1.6', 8080, (socket) => socket.on('data', () => socket.end('pong')))
  const proxy = async (socket: import('node:net').Socket) => {
    const upstream = await client.connect('10.244.1.6', 8080, { mark: 0x539 })
    socket.pipe(upstream)
    upstream.pipe(socket)
  }
  await client.listen('127.0.0.1', 15001, proxy, 0x539)
  const port = await exchange()
  await session.mark('after-000001')

  // Packets: the redirected half on lo, the proxy's own half on the wire at both ends, each with its direction and text.
  const packets = tshark(
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

  expect(lines('sockets')).toContainEqual(
    expect.objectContaining({ netns: 'demo.client', local: `10.244.1.5:${upstream}`, peer: '10.244.1.6:8080', mark: 0x539, uid: 0 }),
  )
  expect(lines('conntrack')).toContainEqual(
    expect.objectContaining({
      netns: 'demo.client',
      orig: { from: `10.244.1.5:${port}`, to: '10.244.1.6:8080' },
      reply: { from: '127.0.0.1:15001', to: `10.244.1.5:${port}` },
      mark: 0x111,
    }),
  )
  await session.snapshot('after')
  writeFileSync(
    join(bundle, 'bundle.json'),
    JSON.stringify({ schema: 1, run: 'r', provider: 'lab', mode: 'inpod', release: 'today', startedAt: 0, endedAt: 1 }),
  )
  const opened = openBundle(bundle)
  // What the parsers make of it: traces know their rules' texts.
  const found = observations(opened)
  const rules = found.filter((o) => o.kind === 'trace').filter(({ from, table }) => from === `10.244.1.5:${port}` && table === 'nat')
  expect(rules.map(({ rule }) => rule)).toContain(
    '-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001',
  )
  for (const kind of ['socket', 'conntrack', 'marker', 'loss', 'rule', 'policy-rule', 'route', 'listener'])
    expect(found.map((o) => o.kind)).toContain(kind)
  expect(opened.notes).toEqual([])
  expect(lines<{ id: string }>('markers').map(({ id }) => id)).toEqual(['before-00001', 'after-000001'])
  const stats = lines<{ netns: string; stream: string; lost: number }>('stats')
  expect(new Set(stats.map(({ netns, stream }) => `${netns} ${stream}`)).size).toBe(3 * 4 + 1)
  expect(stats.filter(({ lost }) => lost > 0)).toEqual([])
})

test('a marker is in the packets and traces of every namespace when mark() resolves; a dead stream is named', async () => {
  await session.watch(pods)
  await session.mark('marker-00001')
  const payloads = tshark('frame.interface_name', 'udp.payload').filter(
    ([, payload]) => payload === Buffer.from('marker-00001').toString('hex'),
  )
  expect(new Set(payloads.map(([dev]) => dev))).toEqual(new Set(['n1/node/lo', 'n1/demo.client/lo', 'n1/demo.server/lo']))
  const traced = lines<Trace & { netns: string }>('traces').filter(({ th }) => th?.endsWith(Buffer.from('marker-00001').toString('hex')))
  expect(new Set(traced.map(({ netns }) => netns))).toEqual(new Set(['node', 'demo.client', 'demo.server']))

  await expect(session.mark('too-short')).rejects.toThrow('marker "too-short": must be exactly 12')
  server.sh('nft delete table ip everyhop')
  await expect(session.mark('marker-00002')).rejects.toThrow('demo.server: marker marker-00002 did not come out of traces within 2000 ms')
  // Watched again from the start, it lives.
  await session.unwatch([pods[1]!])
  await session.watch(pods)
  await session.mark('marker-00003')
})

test('interfaces that appear are named before their first packet; a pod that is not here is named; watch may be called again', async () => {
  await session.watch([pods[0]!])
  const ghost = { namespace: 'demo', name: 'ghost', uid: '6f1c7a52-0000-4000-8000-000000000000' }
  await expect(session.watch([ghost])).rejects.toThrow('no process of demo.ghost (uid 6f1c7a52-0000-4000-8000-000000000000) on this node')
  expect(await session.watch([])).toEqual(['node', 'demo.client'])
  node.join('veth1234', '10.9.0.1', server, 'eth1', '10.9.0.2')
  await expect(server.connect('10.9.0.1', 5)).rejects.toThrow('ECONNREFUSED')
  await session.mark('marker-00001')
  const seen = tshark('frame.interface_name', 'frame.packet_flags_direction', 'ip.src', 'tcp.dstport')
  expect(seen).toContainEqual(['n1/node/veth1234', '0x00000001', '10.9.0.2', '5'])
  const peerIndex = JSON.parse(server.sh('ip -j link show eth1'))[0].ifindex
  expect(lines('interfaces')).toContainEqual(
    expect.objectContaining({ netns: 'node', dev: 'veth1234', peerIndex, addresses: expect.arrayContaining(['10.9.0.1']) }),
  )
})

test('a collector that is killed rejects what waits, and leaves files that can be read', async () => {
  await session.watch(pods)
  await server.listen('10.244.1.6', 8080, (socket) => socket.on('data', () => socket.end('pong')))
  await exchange('first')
  await session.mark('marker-00001')
  void exchange('second').catch(() => {})
  const waiting = session
    .request({ id: 'r1', protocol: 'tcp', host: '127.0.0.1', port: 1, body: '', timeoutMs: 1000 }, { uid: 'none' })
    .catch(() => {})
  process.kill(collectorPid, 'SIGKILL')
  await expect(session.mark('marker-00002')).rejects.toThrow(/collector on node n1: mark: ended \(SIGKILL\)/)
  await waiting
  await session.ended
  await expect(session.snapshot('late')).rejects.toThrow(CollectorError)
  await session.stop()
  expect(tshark('tcp.payload').flat()).toContain(Buffer.from('first').toString('hex'))
  expect(lines('traces').length).toBeGreaterThan(0)
  // Its rules are still there: the next collector replaces them.
  session = start()
  await session.watch(pods)
  await session.mark('marker-00003')
  expect(client.sh('nft list chain ip everyhop prerouting').match(/jump select/g)).toHaveLength(1)
})

test('stop takes the own tables away, and nothing else', async () => {
  client.sh('iptables-restore --noflush', inPodRules)
  const before = client.sh('nft list ruleset')
  await session.watch(pods)
  expect(client.sh('nft list ruleset')).not.toBe(before)
  await session.stop()
  await session.stop()
  expect(client.sh('nft list ruleset')).toBe(before)
  expect(server.sh('nft list ruleset')).toBe('')
})

test("a snapshot has the dumps of every namespace and ztunnel's configuration as it gave it", async () => {
  client.sh('iptables-restore --noflush', inPodRules)
  await client.listen('10.244.1.5', 15008, () => {}, 0x539)
  const admin = createServer((request, response) => response.end(request.url === '/config_dump' ? '{ "workloads":  [] }' : 'no'))
  const fd = socketInNetns(client.fd, AF_INET, SOCK_STREAM, { bind: { address: '127.0.0.1', port: 15000 } })
  await new Promise<void>((done) => admin.listen({ fd }, done))
  await session.watch([{ ...pods[0]!, role: 'ztunnel' }, pods[1]!])
  await session.snapshot('batch-1')
  await new Promise((done) => admin.close(done))
  const read = (file: string) => readFileSync(join(bundle, 'snapshots/batch-1/n1', file), 'utf8')
  const rules = (text: string) =>
    text
      .split('\n')
      .filter((line) => line.includes('-A '))
      .map((line) => line.replace(/^\[\d+:\d+\] /, ''))
  expect(rules(read('demo.client/iptables-save.txt'))).toEqual(rules(client.sh('iptables-save')))
  expect(read('demo.client/iptables-save.txt')).toMatch(/^\[\d+:\d+\] -A PREROUTING -j ISTIO_PRERT$/m)
  expect(read('demo.client/ip-rule.txt')).toBe(client.sh('ip rule'))
  expect(read('demo.server/ip-route.txt')).toBe(server.sh('ip -4 route show table all'))
  expect(read('demo.client/ss.txt')).toMatch(/10\.244\.1\.5:15008 .* fwmark:0x539/)
  // Our own sockets are in no list of listeners.
  expect(read('demo.server/ss.txt')).toBe('')
  expect(JSON.parse(read('demo.client/handles.json')).ip.nat.ISTIO_OUTPUT).toHaveLength(4)
  expect(read('config-dump.json')).toBe('{ "workloads":  [] }')
  expect(read('node/ipset.txt')).toBe('')
})

test('requests come from the node itself when no pod is named', async () => {
  node.join('veth1', '10.9.0.1', server, 'eth1', '10.9.0.2')
  await server.listen('10.9.0.2', 9000, (socket) => socket.pipe(socket))
  const request = { id: 'r1', protocol: 'tcp', host: '10.9.0.2', port: 9000, body: 'a token', timeoutMs: 2000 } as const
  expect(await session.request(request)).toMatchObject({ id: 'r1', ok: true, body: 'a token', localAddress: '10.9.0.1' })
  const refused = await session.request({ ...request, id: 'r2', port: 9 })
  expect(refused).toMatchObject({ id: 'r2', ok: false, error: { code: 'ECONNREFUSED', phase: 'connect' } })
  await expect(session.request(request, { uid: 'no-such-uid' })).rejects.toThrow('/var/lib/kubelet/pods/no-such-uid/')
})
