import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LongFlows } from './long-flows.ts'
import type { RingPacket } from './packet-ring.ts'

/** A TCP packet over IPv4; `at`: when, which tells packets apart. */
function packet(port: number, payload: number, at: number, more: Partial<RingPacket> = {}): RingPacket {
  const data = Buffer.alloc(54 + payload, at & 255)
  data.writeUInt16BE(0x0800, 12)
  data[14] = 0x45
  data[23] = 6
  data.writeUInt32BE(0x0a000001, 26)
  data.writeUInt32BE(0x0a000002, 30)
  data.writeUInt16BE(port, 34)
  data.writeUInt16BE(9000, 36)
  data[46] = 0x50
  return { ifindex: 1, hardware: 1, direction: 'in', seconds: 0, nanoseconds: at, data, length: data.length, ...more }
}

function flows() {
  const written: RingPacket[] = []
  return { written, long: new LongFlows((p) => written.push({ ...p, data: Buffer.from(p.data) })) }
}
const KIB = 1 << 10
const whole = (p: RingPacket) => p.data.length === p.length
const payload = (p: RingPacket) => p.length - 54

test('what is short goes through as it comes', () => {
  const { written, long } = flows()
  const all = Array.from({ length: 16 }, (_, i) => packet(1, KIB, i))
  for (const p of all) long.take(p)
  expect(written.map((p) => p.nanoseconds)).toEqual(all.map((p) => p.nanoseconds))
  expect(written.every(whole)).toBe(true)
})

test('of what is long the first and the last 16 KiB are whole, between them the headers', () => {
  const { written, long } = flows()
  for (let i = 0; i < 8 * KIB; i++) long.take(packet(1, KIB, i))
  long.settle()
  const middle = written.filter((p) => !whole(p))
  expect(written).toHaveLength(8 * KIB)
  expect(middle).toHaveLength(8 * KIB - 32)
  expect(middle.every((p) => p.data.length === 54 && payload(p) === KIB)).toBe(true)
  expect(written.map((p) => p.nanoseconds)).toEqual(Array.from({ length: 8 * KIB }, (_, i) => i))
  expect(written.slice(0, 16).every(whole) && written.slice(-16).every(whole)).toBe(true)
})

test('the packets are copied: the ring they came from is used again', () => {
  const { written, long } = flows()
  for (let i = 0; i < 40; i++) {
    const p = packet(1, KIB, i)
    long.take(p)
    p.data.fill(0)
  }
  long.settle()
  expect(written.at(-1)!.data[60]).toBe(39)
})

test('each direction at each device has ends of its own, and after settling anew', () => {
  const { written, long } = flows()
  for (let i = 0; i < 20; i++) {
    long.take(packet(1, KIB, i))
    long.take(packet(2, KIB, i))
    long.take(packet(1, KIB, i, { ifindex: 2 }))
    long.take(packet(1, KIB, i, { direction: 'out' }))
  }
  expect(written).toHaveLength(64)
  long.settle()
  expect(written).toHaveLength(80)
  long.take(packet(1, KIB, 99))
  expect(written).toHaveLength(81)
  expect(written.every(whole)).toBe(true)
})

test('what is no TCP, or carries nothing, is never kept waiting', () => {
  const { written, long } = flows()
  for (let i = 0; i < 40; i++) long.take(packet(1, KIB, i))
  const before = written.length
  const udp = packet(1, KIB, 50)
  udp.data[23] = 17
  long.take(udp)
  long.take(packet(1, 0, 51))
  long.take({ ...packet(1, KIB, 52), data: Buffer.alloc(20), length: 20 })
  expect(written.slice(before).map((p) => p.nanoseconds)).toEqual([50, 51, 52])
})

test('whatever comes, nothing is lost, ends are whole, and little waits', () => {
  const arrival = fc.record({ port: fc.integer({ min: 1, max: 3 }), payload: fc.integer({ min: 0, max: 9000 }) })
  fc.assert(
    fc.property(fc.array(arrival, { maxLength: 120 }), (arrivals) => {
      const { written, long } = flows()
      for (const [i, a] of arrivals.entries()) long.take(packet(a.port, a.payload, i))
      const waiting = arrivals.length - written.length
      expect(waiting).toBeLessThanOrEqual(arrivals.length)
      long.settle()
      expect(written.map((p) => p.nanoseconds).toSorted((a, b) => a - b)).toEqual(arrivals.map((_, i) => i))
      for (const port of [1, 2, 3]) {
        const mine = written.filter((p) => p.data.readUInt16BE(34) === port && payload(p) > 0)
        for (const order of [mine, mine.toReversed()]) {
          let bytes = 0
          for (const p of order) {
            if (bytes < 16 * KIB) expect(whole(p)).toBe(true)
            bytes += payload(p)
          }
        }
      }
    }),
  )
})
