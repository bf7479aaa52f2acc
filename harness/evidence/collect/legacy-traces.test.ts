import { expect, test } from 'vitest'
import { decodeLegacyTrace, Walks } from './legacy-traces.ts'

const attribute = (type: number, value: Buffer) => {
  const head = Buffer.alloc(4)
  head.writeUInt16LE(4 + value.length, 0)
  head.writeUInt16LE(type, 2)
  return Buffer.concat([head, value, Buffer.alloc(-value.length & 3)])
}
const be32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
/** 10.0.0.1:1000 > 10.0.0.2:80, SYN, with 20 bytes of text behind. */
const packet = Buffer.from(`45000050123440004006aaaa0a0000010a00000203e8005011223344000000005002ffffbbbb0000${'61'.repeat(20)}`, 'hex')
const message = (prefix: string, { hook = 3, mark, payload = packet }: { hook?: number; mark?: number; payload?: Buffer } = {}) =>
  Buffer.concat([
    Buffer.from([2, 0, 0, 0]),
    attribute(1, Buffer.from([8, 0, hook, 0])),
    attribute(10, Buffer.from(`${prefix}\0`)),
    ...(mark === undefined ? [] : [attribute(2, be32(mark))]),
    attribute(5, be32(7)),
    attribute(9, payload),
  ])
const walks = new Walks()
const decode = (body: Buffer, now = 0, of = walks) => decodeLegacyTrace(0x400, body, (index) => `dev${index}`, of, now)

test('a walk: headers and interfaces in its first line, one id to its policy line', () => {
  const first = decode(message('TRACE: mangle:OUTPUT:rule:1 ', { mark: 0x539 }))!
  expect(first).toEqual({
    backend: 'legacy',
    traceId: first.traceId,
    family: 'ip',
    table: 'mangle',
    chain: 'OUTPUT',
    type: 'rule',
    number: 1,
    verdict: 'unknown',
    mark: 0x539,
    oif: 'dev7',
    nh: packet.toString('hex', 0, 20),
    th: packet.toString('hex', 20, 40),
  })
  // A rule changed TTL and checksum: still the same packet.
  const changed = Buffer.from(packet)
  changed.writeUInt32BE(0x3f060000, 8)
  const second = decode(message('TRACE: mangle:A:B:return:3 ', { payload: changed }))!
  expect(second).toMatchObject({ traceId: first.traceId, chain: 'A:B', type: 'return', number: 3, verdict: 'return', mark: 0 })
  expect(second).not.toHaveProperty('nh')
  expect(decode(message('TRACE: mangle:OUTPUT:policy:2 '))!.traceId).toBe(first.traceId)
  expect(decode(message('TRACE: mangle:OUTPUT:rule:1 '))!.traceId).not.toBe(first.traceId)
})

test('another table, another hook, another packet, or the same one later are walks of their own', () => {
  const fresh = new Walks()
  const other = Buffer.from(packet)
  other.writeUInt32BE(5, 24)
  const ids = [
    decode(message('TRACE: nat:OUTPUT:rule:1 '), 0, fresh),
    decode(message('TRACE: raw:OUTPUT:rule:1 '), 0, fresh),
    decode(message('TRACE: nat:OUTPUT:rule:1 ', { hook: 0 }), 0, fresh),
    decode(message('TRACE: nat:OUTPUT:rule:1 ', { payload: other }), 0, fresh),
    decode(message('TRACE: nat:OUTPUT:rule:1 '), 200, fresh),
  ].map((trace) => trace!.traceId)
  expect(new Set(ids).size).toBe(5)
  expect(decode(message('TRACE: nat:X:rule:1 '), 250, fresh)!.traceId).toBe(ids[4])
})

test("other programs' messages are no traces", () => {
  expect(decode(message('dropped: '))).toBeUndefined()
  expect(decodeLegacyTrace(0x401, message('TRACE: nat:OUTPUT:rule:1 '), String, walks)).toBeUndefined()
})
