import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  decodeHello,
  decodeRequest,
  decodeResponse,
  encodeHello,
  encodeRequest,
  encodeResponse,
  maxMessage,
  type WorkloadRequest,
  type WorkloadResponse,
  ZdsError,
} from './zds.ts'

const hex = (s: string) => Buffer.from(s.replace(/\s/g, ''), 'hex')

// By hand from upstream's field numbers: key = number << 3 | wire type (0 varint, 2 length-delimited).
const requests: [string, WorkloadRequest, Buffer][] = [
  [
    'add with workload info',
    { add: { uid: 'u1', workloadInfo: { name: 'p', namespace: 'ns', serviceAccount: 'sa' } } },
    // add=1 {uid=1 "u1", workload_info=2 {name=1 "p", namespace=2 "ns", service_account=3 "sa"}}
    hex('0a 11  0a 02 7531  12 0b  0a 01 70  12 02 6e73  1a 02 7361'),
  ],
  ['add of 1.21, uid only', { add: { uid: 'u1' } }, hex('0a 04 0a 02 7531')],
  ['del: uid is field 2', { del: { uid: 'u1' } }, hex('12 04 12 02 7531')],
  ['snapshot sent', { snapshotSent: {} }, hex('1a 00')],
  ['keep is field 5', { keep: { uid: 'u1' } }, hex('2a 04 0a 02 7531')],
]

describe('WorkloadRequest', () => {
  test.each(requests)('%s', (_, message, bytes) => {
    expect(encodeRequest(message).toString('hex')).toBe(bytes.toString('hex'))
    expect(decodeRequest(bytes)).toEqual(message)
  })

  test('unknown fields are skipped, the last payload wins', () => {
    expect(decodeRequest(hex('7a 01 ff  98 01 05  1a 00  12 04 12 02 7531'))).toEqual({ del: { uid: 'u1' } })
  })

  test.each([
    ['nothing', '', /no payload/],
    ['an unknown payload only', '7a 00', /no payload/],
    ['a length beyond the end', '0a 7f 0a', /malformed at byte/],
    ['a cut varint', '0a ff', /malformed/],
    ['a wrong wire type', '08 01', /add: wire type 0, expected 2/],
    ['field number 0', '02 00', /field number 0/],
    ['text that is not UTF-8', '12 03 12 01 ff', /DelWorkload.uid: not valid UTF-8/],
    ['an end-group mark', '0c', /wire type 4/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => decodeRequest(hex(bytes))).toThrow(ZdsError)
    expect(() => decodeRequest(hex(bytes))).toThrow(message)
  })

  test('a message longer than a packet is refused both ways', () => {
    expect(() => encodeRequest({ del: { uid: 'x'.repeat(maxMessage) } })).toThrow(/at most 1024/)
    expect(() => decodeRequest(Buffer.alloc(maxMessage + 1))).toThrow(/1025 bytes, at most 1024/)
  })
})

test.each<[string, WorkloadResponse, string]>([
  ['done', { ack: {} }, '0a 00'],
  ['failed', { ack: { error: 'no' } }, '0a 04 0a 02 6e6f'],
])('WorkloadResponse: %s', (_, message, bytes) => {
  expect(encodeResponse(message).toString('hex')).toBe(hex(bytes).toString('hex'))
  expect(decodeResponse(hex(bytes))).toEqual(message)
})

test('a response without ack is refused', () => {
  expect(() => decodeResponse(hex('12 00'))).toThrow(/no payload \(expected ack\)/)
})

test('hello is the bare message {version: 1}', () => {
  expect(encodeHello().toString('hex')).toBe('0801')
  expect(decodeHello(hex('0801'))).toEqual({ version: 1 })
  expect(() => decodeHello(hex('0a 00'))).toThrow(/version: wire type 2, expected 0/)
})

const text = fc.string({ unit: 'grapheme', maxLength: 20 })
const message = fc.oneof(
  fc.record({
    add: fc.record(
      { uid: text, workloadInfo: fc.record({ name: text, namespace: text, serviceAccount: text }) },
      { requiredKeys: ['uid'], noNullPrototype: true },
    ),
  }),
  fc.record({ del: fc.record({ uid: text }) }),
  fc.record({ keep: fc.record({ uid: text }) }),
)

test('any message survives the way there and back', () => {
  fc.assert(
    fc.property(message, (m) => {
      expect(decodeRequest(encodeRequest(m as WorkloadRequest))).toEqual(JSON.parse(JSON.stringify(m)))
    }),
  )
})

test('any bytes either decode or throw ZdsError, nothing else', () => {
  const mutated = fc.tuple(fc.constantFrom(...requests.map(([, , b]) => b)), fc.nat(20), fc.nat(255)).map(([b, at, value]) => {
    const copy = Buffer.from(b)
    copy[at % copy.length] = value
    return copy
  })
  const any = fc.oneof(
    fc.uint8Array({ maxLength: 1100 }).map((b) => Buffer.from(b)),
    mutated,
  )
  fc.assert(
    fc.property(any, (bytes) => {
      for (const decode of [decodeHello, decodeRequest, decodeResponse]) {
        try {
          decode(bytes)
        } catch (error) {
          if (!(error instanceof ZdsError)) throw error
        }
      }
    }),
    { numRuns: 2000 },
  )
})
