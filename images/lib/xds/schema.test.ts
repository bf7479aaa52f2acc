import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as messages from './messages.ts'
import {
  Authorization,
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  IstioCertificateRequest,
  Service,
  UInt32Value,
  Workload,
} from './messages.ts'
import { type Message, XdsError } from './schema.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
const codecs = Object.values(messages).filter((m): m is Message<never, never> => typeof m === 'object' && 'decode' in m)

describe('bytes that are no message are refused with the place', () => {
  test.each([
    ['a length beyond the end', '0a 7f 0a', /^istio.workload.Workload: malformed at byte/],
    ['a length beyond its message', 'b2 01 04  0a 09 61 62', /malformed/],
    ['a cut varint', '28 ff', /malformed/],
    ['a wrong wire type', '08 01', /^istio.workload.Workload.name: wire type 0, expected 2/],
    ['field number 0', '02 00', /field number 0 at byte 0/],
    ['text that is not UTF-8', '0a 01 ff', /^istio.workload.Workload.name: not valid UTF-8/],
    ['a group', 'fb 3f', /field 1023 is a group/],
    ['a sub-message longer than what is there', 'da 01 05 08 01', /capacity: 5 bytes are announced, 2 are there/],
    ['a field that reaches over the end of its message', 'ba 01 02 08 ff 01', /malformed|ends \d+ bytes behind/],
    ['a map entry whose key is a number', 'b2 01 02 08 01', /services: an entry with tag 8/],
  ])('%s', (_, bytes, why) => {
    expect(() => Workload.decode(hex(bytes))).toThrow(XdsError)
    expect(() => Workload.decode(hex(bytes))).toThrow(why)
  })

  test('a whole number that JavaScript does not hold exactly', () => {
    expect(() => IstioCertificateRequest.decode(hex('18 ff ff ff ff ff ff ff ff 7f'))).toThrow(/validityDuration: .* is not a whole number/)
  })

  test('a structure that nests itself without end', () => {
    // Struct in Value in Struct: each level wraps the one before into fields=1 {value=2 {struct=5 {…}}}.
    let level = Buffer.alloc(0)
    const wrap = (key: number, inside: Buffer) => Buffer.concat([Buffer.of(key, 0x80 | (inside.length & 127), inside.length >> 7), inside])
    for (let i = 0; i < 200; i++) level = wrap(0x0a, wrap(0x12, wrap(0x2a, level)))
    expect(() => IstioCertificateRequest.decode(wrap(0x22, level))).toThrow(/nested more than 32 levels deep/)
  })

  test('more values than any real message has, each of two bytes', () => {
    const bytes = Buffer.alloc(2 * 4_000_001)
    for (let i = 0; i < bytes.length; i += 2) bytes[i] = 0x2a
    expect(() => Authorization.decode(bytes)).toThrow(/rules: more than 4000000 values in one message/)
  })
})

describe('what proto3 asks for', () => {
  test('unknown fields of every wire type are skipped', () => {
    expect(UInt32Value.decode(hex('f8 3f 05  f9 3f 0000000000000000  fa 3f 01 ff  fd 3f 00000000  08 07'))).toEqual({ value: 7 })
  })
  test('a message that comes in two parts is merged, a scalar is the last one', () => {
    const { locality, name } = Workload.decode(hex('0a 01 61  c2 01 03 0a 01 72  c2 01 03 12 01 7a  0a 01 62'))
    expect([name, locality]).toEqual(['b', { region: 'r', zone: 'z', subzone: '' }])
  })
  test('an enum value that is not known stays a number, both ways', () => {
    expect(Workload.decode(hex('28 09')).tunnelProtocol).toBe(9)
    expect(Workload.encode({ tunnelProtocol: 9 })).toEqual(hex('28 09'))
  })
  test('a map entry without key or value has empty ones', () => {
    expect(Workload.decode(hex('b2 01 00')).services).toEqual({ '': { ports: [] } })
  })
  test('a key __proto__ is a key', () => {
    const versions = JSON.parse('{"__proto__":"v"}')
    const { initialResourceVersions } = DeltaDiscoveryRequest.decode(DeltaDiscoveryRequest.encode({ initialResourceVersions: versions }))
    expect(Object.entries(initialResourceVersions)).toEqual([['__proto__', 'v']])
  })
  test('bytes that are kept do not keep the message alive', () => {
    const message = Buffer.concat([hex('1a 04 0a000001'), Buffer.alloc(0)])
    expect(Workload.decode(message).addresses[0]?.buffer.byteLength).toBe(4)
  })
})

test('a value that cannot be written is refused with its place', () => {
  expect(() => Workload.encode({ services: { s: { ports: [{ servicePort: -1 }] } } })).toThrow(
    'istio.workload.Port.servicePort: -1 is not a whole number from 0 to 4294967295',
  )
  expect(() => Workload.encode({ status: 'SICK' as never })).toThrow('Workload.status: SICK is none of HEALTHY, UNHEALTHY')
})

describe('any message', () => {
  const text = fc.string({ unit: 'binary', maxLength: 12 })
  const u32 = fc.nat({ max: 2 ** 32 - 1 })
  const octets = fc.uint8Array({ maxLength: 16 })
  const list = <T>(of: fc.Arbitrary<T>) => fc.array(of, { maxLength: 4 })
  const any = fc.record({ typeUrl: text, value: octets })
  const struct = fc
    .dictionary(text, fc.jsonValue({ maxDepth: 3, noUnicodeString: false }), { maxKeys: 4 })
    .map((o) => JSON.parse(JSON.stringify(o).replaceAll('-0', '0')))
  const address = fc.record({ network: text, address: octets, length: u32 }, { requiredKeys: ['network', 'address'] })
  const gateway = fc.oneof(
    fc.record({ hostname: fc.record({ namespace: text, hostname: text }), hboneMtlsPort: u32 }),
    fc.record({ address, hboneMtlsPort: u32 }),
  )
  const port = fc.record({ servicePort: u32, targetPort: u32, appProtocol: fc.constantFrom('UNKNOWN', 'HTTP2', 77) })
  const workload = fc.record({
    name: text,
    namespace: text,
    addresses: list(octets),
    tunnelProtocol: fc.constantFrom('NONE', 'HBONE'),
    waypoint: gateway,
    nativeTunnel: fc.boolean(),
    authorizationPolicies: list(text),
    status: fc.constantFrom('HEALTHY', 'UNHEALTHY'),
    uid: text,
    services: fc.dictionary(text, fc.record({ ports: list(port) }), { maxKeys: 3 }),
    capacity: fc.record({ value: u32 }),
  })
  const service = fc.record({
    hostname: text,
    addresses: list(address),
    ports: list(port),
    weightedWaypoints: list(fc.record({ destination: gateway, weight: u32 })),
  })
  const stringMatch = fc.oneof(
    fc.record({ exact: text }),
    fc.record({ prefix: text }),
    fc.record({ suffix: text }),
    fc.constant({ presence: {} }),
  )
  const match = fc.record({
    principals: list(stringMatch),
    notSourceIps: list(fc.record({ address: octets, length: u32 })),
    destinationPorts: list(u32),
  })
  const policy = fc.record({
    name: text,
    scope: fc.constantFrom('GLOBAL', 'NAMESPACE', 'WORKLOAD_SELECTOR'),
    rules: list(fc.record({ clauses: list(fc.record({ matches: list(match) })) })),
    dryRun: fc.boolean(),
  })
  const request = fc.record({
    node: fc.record({ id: text, metadata: struct }),
    resourceNamesSubscribe: list(text),
    initialResourceVersions: fc.dictionary(text, text, { maxKeys: 4 }),
    errorDetail: fc.record({ code: fc.integer(), message: text, details: list(any) }),
  })
  const response = fc.record({
    resources: list(
      fc.record({
        version: text,
        resource: any,
        name: text,
        aliases: list(text),
        ttl: fc.record({ seconds: fc.maxSafeInteger(), nanos: fc.integer() }),
      }),
    ),
    nonce: text,
    removedResources: list(text),
  })

  test.each([
    ['workload', Workload, workload],
    ['service', Service, service],
    ['policy', Authorization, policy],
    ['request', DeltaDiscoveryRequest, request],
    ['response', DeltaDiscoveryResponse, response],
    ['certificate request', IstioCertificateRequest, fc.record({ csr: text, validityDuration: fc.maxSafeInteger(), metadata: struct })],
  ] as [string, Message<object, object>, fc.Arbitrary<object>][])(
    '%s: what was written is read, and written again the same',
    (_, codec, arbitrary) => {
      fc.assert(
        fc.property(arbitrary, (value) => {
          const bytes = codec.encode(value)
          const read = codec.decode(bytes)
          expect(read).toMatchObject(value)
          expect(codec.encode(read)).toEqual(bytes)
        }),
      )
    },
  )

  test('random bytes never end otherwise than in a message or an XdsError', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      // Bytes that begin like something: low field numbers, short lengths.
      fc
        .array(fc.constantFrom(0x0a, 0x12, 0x1a, 0x22, 0x2a, 0x08, 0x10, 0, 1, 2, 5, 9, 0x7f, 0xff, 0x82, 0xb2), { maxLength: 60 })
        .map((a) => Uint8Array.from(a)),
    )
    fc.assert(
      fc.property(fc.constantFrom(...codecs), bytes, (codec, input) => {
        try {
          const once = codec.decode(input)
          // What was understood is written so that it is understood the same.
          expect(codec.decode(codec.encode(once))).toEqual(once)
        } catch (error) {
          expect(error).toBeInstanceOf(XdsError)
          // Its own name, or that of a message in it.
          expect((error as Error).message).toMatch(/^(istio|envoy|google)\.[\w.]+: /)
        }
      }),
      { numRuns: 3000 },
    )
  })

  test('a valid message with one byte changed, or cut short, is read or refused in words', () => {
    fc.assert(
      fc.property(workload, fc.nat(), fc.nat({ max: 255 }), fc.boolean(), (value, at, byte, cut) => {
        const bytes = Buffer.from(Workload.encode(value as never))
        if (bytes.length === 0) return
        bytes[at % bytes.length] = byte
        try {
          Workload.decode(cut ? bytes.subarray(0, at % bytes.length) : bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(XdsError)
        }
      }),
    )
  })
})
