import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Conntrack, decodeConntrack, openConntrack } from './conntrack.ts'
import { dumpHandles } from './handles.ts'
import { dumpInterfaces } from './interfaces.ts'
import { type DestroyedSocket, Sockets } from './sockets.ts'
import { inPodRules, TestNetns } from './testbed.ts'
import { traceRules } from './trace-rules.ts'
import { decodeTrace, openTraces, type Trace } from './traces.ts'

/** Each decoder beside the text tool that prints the same thing. */
let pod: TestNetns
let server: TestNetns
const tools: ChildProcess[] = []
const closing: { close(): void }[] = []

beforeEach(async () => {
  pod = await TestNetns.create()
  server = await TestNetns.create()
  pod.join('eth0', '10.244.1.5', server, 'eth0', '10.244.1.6')
})
afterEach(() => {
  for (const tool of tools.splice(0)) tool.kill('SIGKILL')
  for (const open of closing.splice(0)) open.close()
  pod[Symbol.dispose]()
  server[Symbol.dispose]()
})

/** A text tool that prints events in the pod; `listening` resolves when the kernel has it among its listeners, `until` when its output matches. */
function tool(...argv: string[]): { listening(): Promise<void>; until(pattern: RegExp): Promise<string> } {
  const child = spawn('nsenter', [`--net=${pod.path}`, 'stdbuf', '-oL', ...argv], { stdio: ['ignore', 'pipe', 'inherit'] })
  tools.push(child)
  let text = ''
  let look = () => {}
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk
    look()
  })
  const until = (pattern: RegExp) =>
    new Promise<string>((resolve) => {
      look = () => void (pattern.test(text) && resolve(text))
      look()
    })
  return { listening: () => eventually(() => listens(child.pid!)), until }
}

/** Whether a process has a netlink socket that is in a multicast group: who joins gets all events from then on. */
function listens(pid: number): boolean {
  const own = new Set(readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`)))
  const [, ...sockets] = readFileSync(`/proc/${pid}/net/netlink`, 'utf8').trimEnd().split('\n')
  return sockets.some((line) => {
    const [, , , groups = '', , , , , , inode] = line.split(/\s+/)
    return Number.parseInt(groups, 16) !== 0 && own.has(`socket:[${inode}]`)
  })
}

/** Of a descriptor that is closed by now: nothing. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

/** Resolves as soon as `condition` holds; asked again after each turn of the event loop. */
async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

async function redirectedExchange(): Promise<number> {
  await server.listen('10.244.1.6', 8080, (socket) => socket.on('data', () => socket.end('pong')))
  await pod.listen(
    '127.0.0.1',
    15001,
    async (socket) => {
      const upstream = await pod.connect('10.244.1.6', 8080, { mark: 0x539 })
      socket.pipe(upstream)
      upstream.pipe(socket)
    },
    0x539,
  )
  const client = await pod.connect('10.244.1.6', 8080)
  const port = client.localPort!
  const closed = new Promise((resolve) => client.on('close', resolve))
  client.on('data', () => {})
  client.write('ping')
  await closed
  return port
}

function enrol(): void {
  pod.sh('iptables-restore --noflush', inPodRules)
  pod.sh('ip rule add fwmark 0x111/0xfff pref 32764 lookup 100; ip route replace local 0.0.0.0/0 dev lo table 100')
}

test('traces tell what `nft monitor trace` tells', async () => {
  enrol()
  pod.sh('nft -f -', traceRules())
  const monitor = tool('nft', 'monitor', 'trace')
  const traces = openTraces(pod.fd)
  closing.push(traces)
  const got: Trace[] = []
  const devs = new Map(dumpInterfaces(pod.fd).map(({ index, dev }) => [index, dev]))
  traces.watch(() =>
    traces.drain((type, body) => {
      const trace = decodeTrace(type, body, (index) => devs.get(index)!)
      if (trace) got.push(trace)
    }),
  )
  await monitor.listening()
  const port = await redirectedExchange()
  const text = await monitor.until(new RegExp(`tcp dport ${port} tcp flags == 0x18[^]*policy accept`))
  await eventually(() => got.filter(({ type }) => type === 'policy').length >= 10)

  // Their lines: `trace id ID FAMILY TABLE CHAIN rule RULE (verdict VERDICT)`, `… policy VERDICT [meta mark MARK]`. They leave out lines without a handle, and print marks for policies only.
  const whole = text.slice(0, text.lastIndexOf('\n'))
  const theirs = whole.split('\n').flatMap((line) => {
    const rule = /^trace id (\w+ \w+ \w+ \w+ rule) .*\(verdict (.*)\) ?$/.exec(line)
    const policy = /^trace id (\w+ \w+ \w+ \w+ policy \w+) (?:meta mark (\w+) )?$/.exec(line)
    return rule ? [`${rule[1]} ${rule[2]}`] : policy ? [`${policy[1]} ${Number(policy[2] ?? 0)}`] : []
  })
  const ours = got
    .filter(({ type }) => type !== 'return')
    .map((t) => [t.traceId, t.family, t.table, t.chain, t.type, t.verdict, ...(t.type === 'policy' ? [t.mark] : [])].join(' '))
  expect(ours.length).toBeGreaterThan(20)
  const from = theirs.indexOf(ours[0]!)
  expect(theirs.slice(from, from + ours.length)).toEqual(ours.slice(0, theirs.length - from))
}, 30_000)

test('conntrack events tell what `conntrack -E` tells, mark and NAT included', async () => {
  enrol()
  const monitor = tool('conntrack', '-E', '-o', 'extended')
  const events = openConntrack(pod.fd)
  closing.push(events)
  const got: Conntrack[] = []
  events.watch(() =>
    events.drain((type, body, flags) => {
      const event = decodeConntrack(type, body, flags)
      if (event) got.push(event)
    }),
  )
  await monitor.listening()
  got.length = 0
  const port = await redirectedExchange()
  pod.sh('conntrack -D -p tcp >/dev/null 2>&1 || true')
  const ourPort = ({ protocol, orig }: Conntrack) => protocol === 'tcp' && orig.from === `10.244.1.5:${port}`
  await eventually(() => got.some((event) => ourPort(event) && event.event === 'destroy'))
  const text = await monitor.until(new RegExp(`DESTROY.*sport=${port} dport=8080.*\n`))

  const theirs = text
    .split('\n')
    .filter((line) => line.includes(` sport=${port} dport=8080 `))
    .map((line) => {
      const event = /\[(\w+)\]/.exec(line)![1]!.toLowerCase()
      const [src, dst, sport, dport, rsrc, rdst, rsport, rdport] = Array.from(line.matchAll(/(?:src|dst|sport|dport)=(\S+)/g), (m) => m[1])
      return [
        event,
        `${src}:${sport}`,
        `${dst}:${dport}`,
        `${rsrc}:${rsport}`,
        `${rdst}:${rdport}`,
        /mark=(\d+)/.exec(line)?.[1] ?? '0',
        line.includes('[ASSURED]'),
      ]
    })
  const ours = got
    .filter(ourPort)
    .map((e) => [e.event, e.orig.from, e.orig.to, e.reply.from, e.reply.to, String(e.mark), (e.status & 4) !== 0])
  expect(ours).toEqual(theirs)
  expect(ours[0]!.slice(0, 5)).toEqual(['new', `10.244.1.5:${port}`, '10.244.1.6:8080', '127.0.0.1:15001', `10.244.1.5:${port}`])
  expect(ours.at(-1)![5]).toBe(String(0x111))
}, 30_000)

test('destroyed sockets are those of `ss -E`, with mark and owner; an IPv4 peer of an IPv6 listener is IPv4', async () => {
  const monitor = tool('ss', '-E', '-t', '-n', '-H')
  const got: DestroyedSocket[] = []
  pod.sh('nft -f -', traceRules())
  const traces = openTraces(pod.fd)
  const readTraces = () =>
    traces.drain((type, body) => {
      const trace = decodeTrace(type, body, () => 'dev')
      if (trace) sockets.onTrace(trace)
    })
  const sockets = new Sockets(pod.fd, readTraces, (socket) => got.push(socket))
  closing.push(sockets, traces)
  traces.watch(readTraces)
  sockets.watch()
  await pod.listen('::', 8081, (socket) => socket.on('error', () => {}).end('x'), 0x539)
  const exchange = async () => {
    const client = await pod.connect('127.0.0.1', 8081, { mark: 0x123 })
    const port = client.localPort!
    // While both sockets live.
    readTraces()
    const closed = new Promise((resolve) => client.on('close', resolve))
    client.resume()
    await closed
    return port
  }
  await monitor.listening()
  const port = await exchange()
  await eventually(() => got.filter(({ local, peer }) => `${local} ${peer}`.includes(`:${port}`)).length === 2)
  const text = await monitor.until(new RegExp(`:${port}[^]*:${port}.*\n`))
  const theirs = text
    .split('\n')
    .filter((line) => line.includes(`:${port}`))
    .map((line) =>
      line
        .replaceAll(/\[::ffff:([\d.]+)\]/g, '$1')
        .trim()
        .split(/\s+/)
        .slice(3, 5)
        .join(' '),
    )
  const ours = got.filter(({ local, peer }) => `${local} ${peer}`.includes(`:${port}`))
  expect(ours.map(({ local, peer }) => `${local} ${peer}`).sort()).toEqual(theirs.sort())
  expect(ours).toContainEqual({ local: `127.0.0.1:${port}`, peer: '127.0.0.1:8081', mark: 0x123, uid: 0 })
  // An accepted socket has its listener's mark.
  expect(ours).toContainEqual({ local: '127.0.0.1:8081', peer: `127.0.0.1:${port}`, mark: 0x539, uid: 0 })

  // Reset by its own program, a socket forgets its ends; the traces remember.
  const reset = await pod.connect('127.0.0.1', 8081, { mark: 0x124 })
  const resetPort = reset.localPort!
  readTraces()
  reset.on('error', () => {}).resetAndDestroy()
  await eventually(() => got.some(({ local }) => local === `127.0.0.1:${resetPort}`))
  expect(got).toContainEqual({ local: `127.0.0.1:${resetPort}`, peer: '127.0.0.1:8081', mark: 0x124, uid: 0 })
  expect(sockets.takeLost()).toBe(0)
}, 30_000)

test('interfaces are those of `ip -d -j addr`, with the index of the other end of a veth', () => {
  pod.sh('ip link add br0 type bridge; ip addr add fd00::5/64 dev eth0 nodad; ip addr add 10.0.0.9/24 dev eth0')
  const theirs = (JSON.parse(pod.sh('ip -d -j addr')) as IpAddress[]).map((i) => ({
    index: i.ifindex,
    dev: i.ifname,
    mac: i.address,
    mtu: i.mtu,
    addresses: i.addr_info.map(({ local }) => local).sort(),
    ...(i.linkinfo?.info_kind === undefined ? {} : { kind: i.linkinfo.info_kind }),
    ...(i.link_index === undefined ? {} : { peerIndex: i.link_index }),
  }))
  const ours = dumpInterfaces(pod.fd).map((found) => ({ ...found, addresses: [...found.addresses].sort() }))
  expect(ours).toEqual(theirs)
  expect(ours.find(({ dev }) => dev === 'eth0')).toMatchObject({
    addresses: expect.arrayContaining(['10.0.0.9', '10.244.1.5', 'fd00::5']),
    peerIndex: 2,
  })
})

interface IpAddress {
  readonly ifindex: number
  readonly ifname: string
  readonly address: string
  readonly mtu: number
  readonly link_index?: number
  readonly linkinfo?: { readonly info_kind?: string }
  readonly addr_info: { readonly local: string }[]
}

test('handles are in the order of the rules, as `nft -a list` has them', () => {
  enrol()
  pod.sh('iptables -t nat -I ISTIO_OUTPUT 2 -d 10.9.9.9/32 -j ACCEPT; ip6tables -t filter -A INPUT -j ACCEPT')
  pod.sh('nft -f -', traceRules())
  const chain = (family: string, table: string, name: string) =>
    Array.from(pod.sh(`nft -a list chain ${family} ${table} ${name}`).matchAll(/^\t\t.*# handle (\d+)$/gm), (match) => Number(match[1]))
  const handles = dumpHandles(pod.fd)
  expect(handles.ip!.nat!.ISTIO_OUTPUT).toEqual(chain('ip', 'nat', 'ISTIO_OUTPUT'))
  expect(handles.ip!.nat!.ISTIO_OUTPUT).toHaveLength(5)
  expect(handles.ip!.nat!.ISTIO_OUTPUT).not.toEqual([...handles.ip!.nat!.ISTIO_OUTPUT!].sort((a, b) => a - b))
  expect(handles.ip!.mangle!.ISTIO_PRERT).toEqual(chain('ip', 'mangle', 'ISTIO_PRERT'))
  expect(handles.ip6!.filter!.INPUT).toEqual(chain('ip6', 'filter', 'INPUT'))
  expect(JSON.stringify(handles)).not.toContain('everyhop')
})
