import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { frameKind } from '../frames.ts'
import { fillerType } from './block-filler.ts'
import { Interfaces } from './interfaces.ts'
import { MarkerSocket, markerInPacket, markerInTrace } from './marker.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from './netlink.ts'
import type { Output } from './output.ts'
import { PacketRing } from './packet-ring.ts'
import { PacketFile, Packets } from './packets.ts'
import { TestNetns } from './testbed.ts'
import { traceRules } from './trace-rules.ts'
import { decodeTrace, openTraces, type Trace } from './traces.ts'

let netns: TestNetns
let other: TestNetns
const closing: { close(): void }[] = []
beforeEach(async () => {
  netns = await TestNetns.create()
  other = await TestNetns.create()
  netns.join('eth0', '10.1.0.1', other, 'eth0', '10.1.0.2')
})
afterEach(() => {
  for (const open of closing.splice(0)) open.close()
  netns[Symbol.dispose]()
  other[Symbol.dispose]()
})
const keep = <T extends { close(): void }>(opened: T): T => {
  closing.push(opened)
  return opened
}

/** Keeps what is sent instead of sending it. */
class Kept implements Output {
  readonly bytes: Buffer[] = []
  blocked = false
  send(kind: number, payload: Uint8Array | string): void {
    if (kind === frameKind.packets) this.bytes.push(Buffer.from(payload as Uint8Array))
  }
  line(): void {}
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

test('a stream in packets of 64 KB: none is missing, of the large ones the headers are kept, to the nanosecond between two clock readings', async () => {
  const output = new Kept()
  const markers: string[] = []
  const interfaces = keep(new Interfaces(netns.fd, () => {}))
  const ring = { blockSize: 256 << 10, blocks: 64, retireAfter: 5 }
  const packets = keep(
    new Packets(netns.fd, 'demo.x', ring, interfaces, new PacketFile(output, 'n1'), output, (marker) => markers.push(marker)),
  )
  const body = Buffer.alloc(3_000_000, 'the quick brown fox ')
  const received = new Promise<number>((resolve) => {
    let length = 0
    void netns.listen('127.0.0.1', 80, (socket) =>
      socket
        .on('data', (chunk) => {
          length += chunk.length
        })
        .on('end', () => resolve(length)),
    )
  })
  const before = Date.now() / 1000
  const client = await netns.connect('127.0.0.1', 80)
  client.end(body)
  expect(await received).toBe(body.length)
  const marker = keep(new MarkerSocket(netns.fd))
  marker.send('the-end-0001')
  await until(() => markers.includes('the-end-0001'))
  packets.settle()
  expect(packets.takeLost()).toBe(0)
  const truncated = packets.takeTruncated()

  const directory = mkdtempSync(join(tmpdir(), 'everyhop-packets-'))
  const file = join(directory, 'p.pcapng')
  writeFileSync(file, Buffer.concat(output.bytes))
  const read = (filter: string, ...fields: string[]) =>
    execFileSync(
      'tshark',
      ['-r', file, '-o', 'tcp.desegment_tcp_streams:FALSE', '-Y', filter, '-T', 'fields', ...fields.flatMap((f) => ['-e', f])],
      {
        maxBuffer: 1 << 28,
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    )
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t'))
  const data = read(
    'tcp.len > 0 && frame.packet_flags_direction == 1',
    'frame.interface_name',
    'frame.time_epoch',
    'tcp.len',
    'frame.len',
    'frame.cap_len',
    'tcp.seq',
  )
  rmSync(directory, { recursive: true })
  // The whole stream, without a hole; the kernel may send a piece twice.
  const pieces = data
    .map(([, , length, , , seq]) => ({ from: Number(seq), to: Number(seq) + Number(length) }))
    .sort((x, y) => x.from - y.from)
  expect(pieces.reduce((end, { from, to }) => (from <= end ? Math.max(end, to) : Number.NaN), 1)).toBe(body.length + 1)
  expect(Math.max(...data.map(([, , length]) => Number(length)))).toBeGreaterThan(60_000)
  let lacking = 0
  for (const [dev, time, , length, captured] of data) {
    expect(dev).toBe('n1/demo.x/lo')
    const cut = Number(length) - Number(captured)
    if (Number(length) > 16 << 10) expect(Number(captured)).toBeLessThanOrEqual(114)
    expect(cut === 0 || Number(captured) <= 114, `${captured} of ${length} bytes`).toBe(true)
    lacking += cut
    expect(Number(time)).toBeGreaterThan(before - 0.01)
    expect(Number(time)).toBeLessThan(Date.now() / 1000 + 0.01)
  }
  // Those that went out are as many again.
  expect(truncated.packets).toBeGreaterThan(0)
  expect(lacking).toBeGreaterThan(body.length / 2)
  expect(truncated.bytes).toBeGreaterThanOrEqual(lacking)
})

test.each([64, 128, 256])(
  'what came until a push is handed over at once, however full a block of %i KiB is, and of the push nothing',
  async (kib) => {
    // Its own time is never over.
    const ring = keep(new PacketRing(netns.fd, { blockSize: kib << 10, blocks: 16, retireAfter: 60_000 }))
    const marker = keep(new MarkerSocket(netns.fd))
    const seen: string[] = []
    let pushed = 0
    const drain = () =>
      ring.drain(
        ({ data }) => {
          const found = markerInPacket(data)
          if (found !== undefined) seen.push(found)
          // What the kernel itself sends over eth0, such as IPv6's neighbour discovery, is there as ever.
          else if (data.readUInt16BE(12) === fillerType) pushed++
        },
        () => {},
      )
    const sent: string[] = []
    for (let i = 0; i < 200; i++) {
      // From nearly none to a good part of a block between two pushes.
      for (let n = 0; n < (i * 7) % 300; n += 50) {
        sent.push(`push-${String(i).padStart(3, '0')}-${String(n).padStart(3, '0')}`)
        marker.send(sent.at(-1)!)
      }
      ring.push()
      // Handed over by whichever processor takes what waits for lo: at once on this one, soon on another.
      await expect
        .poll(
          () => {
            drain()
            return seen.length
          },
          { interval: 1, timeout: 5000 },
        )
        .toBe(2 * sent.length)
    }
    // Each out and in.
    expect(seen).toEqual(sent.flatMap((m) => [m, m]))
    expect(pushed).toBe(0)
    expect(ring.takeLost()).toBe(0)
  },
)

test('packets that find no room are counted', () => {
  const ring = keep(new PacketRing(netns.fd, { blockSize: 128 << 10, blocks: 2, retireAfter: 5 }))
  const marker = keep(new MarkerSocket(netns.fd))
  // Nobody drains while this loop runs.
  for (let i = 0; i < 3000; i++) marker.send('flood-000000')
  const lost = ring.takeLost()
  expect(lost).toBeGreaterThan(0)
  expect(ring.takeLost(), 'told once').toBe(0)
  let seen = 0
  let markers = 0
  ring.drain(
    ({ data }) => {
      seen++
      if (markerInPacket(data) === 'flood-000000') markers++
    },
    () => {},
  )
  // Each datagram out and in, and the ICMP answer to it (the kernel limits those) out and in. What is not lost is in the ring, though its last block may still be open.
  expect(markers).toBeGreaterThan(100)
  expect(seen + lost).toBeGreaterThanOrEqual(5000)
  // What the kernel itself sent until there was room again.
  ring.takeLost()
  marker.send('room-again-0')
  expect(ring.takeLost()).toBe(0)
})

test('traces that find no room are counted', () => {
  netns.sh('nft -f -', traceRules())
  const small = keep(new NetlinkSocket(netns.fd, NETLINK_NETFILTER, [9], 32 << 10))
  const marker = keep(new MarkerSocket(netns.fd))
  marker.send('alone-000000')
  let lines = 0
  small.drain(() => lines++)
  expect(lines).toBeGreaterThan(0)
  expect(small.takeLost()).toBe(0)
  for (let i = 0; i < 300; i++) marker.send('flood-000000')
  small.drain(() => {})
  expect(small.takeLost()).toBeGreaterThan(0)
  expect(small.takeLost()).toBe(0)
})

test('first data is traced once a connection, again when the ports are used again; IPv6 as well', async () => {
  netns.sh('nft -f -', traceRules())
  netns.sh('ip addr add fd00::1/64 dev eth0 nodad')
  other.sh('ip addr add fd00::2/64 dev eth0 nodad')
  const stream = keep(openTraces(netns.fd))
  const traces: Trace[] = []
  const marker = keep(new MarkerSocket(netns.fd))
  /** Own first lines of what the client sends, as `SEQ-less flags`, until a marker proves that no more is on its way. */
  const seen = async (id: string) => {
    marker.send(id)
    await until(() => {
      stream.drain((type, body) => {
        const trace = decodeTrace(type, body, String)
        if (trace) traces.push(trace)
      })
      return traces.some(({ nh, th }) => markerInTrace(nh, th) === id)
    })
    const sent = traces
      .splice(0)
      .filter(({ table, nh, th, oif }) => table === 'everyhop' && nh && th && oif && markerInTrace(nh, th) === undefined)
    return sent.map(({ family, th }) => `${family} ${Number.parseInt(th!.slice(26, 28), 16).toString(16)}`)
  }
  const talk = async (from: string | undefined, to: string, port: number) => {
    const client = await (from ? netns.connect(to, port, { from }) : netns.connect(to, port))
    for (const word of ['one', 'two', 'three']) {
      const answered = new Promise((resolve) => client.once('data', resolve))
      client.write(word)
      await answered
    }
    const closed = new Promise((resolve) => client.once('close', resolve))
    // No TIME_WAIT: the ports are free at once.
    client.resetAndDestroy()
    await closed
  }
  const server = await other.listen('10.1.0.2', 80, (socket) =>
    socket
      .on('error', () => {})
      .pipe(socket)
      .on('error', () => {}),
  )
  expect(server.listening).toBe(true)
  netns.sh('echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range')
  await talk(undefined, '10.1.0.2', 80)
  expect(await seen('marker-00001')).toEqual(['ip 2', 'ip 18'])
  await talk(undefined, '10.1.0.2', 80)
  expect(await seen('marker-00002')).toEqual(['ip 2', 'ip 18'])
  await other.listen('fd00::2', 80, (socket) =>
    socket
      .on('error', () => {})
      .pipe(socket)
      .on('error', () => {}),
  )
  await talk(undefined, 'fd00::2', 80)
  expect(await seen('marker-00003')).toEqual(['ip6 2', 'ip6 18'])
})
