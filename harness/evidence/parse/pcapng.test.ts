import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PcapngWriter } from '../pcapng-write.ts'
import { EvidenceError } from './error.ts'
import { parsePackets } from './packets.ts'
import { PcapngReader } from './pcapng.ts'
import { printPackets } from './print.ts'

/** Blocks written by hand from draft-ietf-opsawg-pcapng section 4, in either byte order: no code in common with the writer. */
function handmade(little: boolean) {
  const u16 = (value: number) => {
    const b = Buffer.alloc(2)
    if (little) b.writeUInt16LE(value)
    else b.writeUInt16BE(value)
    return b
  }
  const u32 = (value: number) => {
    const b = Buffer.alloc(4)
    if (little) b.writeUInt32LE(value)
    else b.writeUInt32BE(value)
    return b
  }
  const block = (type: number, ...parts: Buffer[]) => {
    const body = Buffer.concat(parts)
    const padded = Buffer.concat([body, Buffer.alloc(-body.length & 3)])
    return Buffer.concat([u32(type), u32(padded.length + 12), padded, u32(padded.length + 12)])
  }
  const option = (code: number, value: Buffer) => Buffer.concat([u16(code), u16(value.length), value, Buffer.alloc(-value.length & 3)])
  const section = block(0x0a0d0d0a, u32(0x1a2b3c4d), u16(1), u16(0), Buffer.alloc(8, 0xff))
  const link = (name: string, ...options: Buffer[]) =>
    block(1, u16(1), u16(0), u32(0), option(2, Buffer.from(name)), ...options, option(0, Buffer.alloc(0)))
  const packet = (id: number, high: number, low: number, data: Buffer, original = data.length, ...options: Buffer[]) =>
    block(6, u32(id), u32(high), u32(low), u32(data.length), u32(original), data, Buffer.alloc(-data.length & 3), ...options)
  return { u16, u32, block, option, section, link, packet }
}

function readAll(bytes: Buffer) {
  const reader = new PcapngReader(bytes, 'f.pcapng')
  const packets = []
  while (reader.next()) {
    packets.push({
      index: reader.index,
      name: reader.interfaces[reader.interfaceId]!.name,
      ns: reader.nanoseconds,
      data: bytes.subarray(reader.dataOffset, reader.dataOffset + reader.captured).toString('hex'),
      original: reader.original,
      flags: reader.flags,
      comment: reader.comment,
    })
  }
  return { packets, truncated: reader.truncated, end: reader.end }
}

describe.each([true, false])('a section with little-endian %s', (little) => {
  const { u16, u32, block, option, section, link, packet } = handmade(little)
  const nanos = option(9, Buffer.of(9))

  test('gives packets with interface, time, direction and comment; unknown blocks are skipped', () => {
    const bytes = Buffer.concat([
      section,
      block(0x0bad, Buffer.from('whatever')),
      link('n1/demo.a/eth0', nanos),
      link('n1/node/lo'),
      packet(0, 0x18e9_2f0f, 5, Buffer.from('abcde'), 99, option(1, Buffer.from('hop')), option(2, u32(2))),
      block(5, u32(0), u32(0), u32(0)),
      packet(1, 0, 7, Buffer.from('xy')),
    ])
    expect(readAll(bytes)).toEqual({
      packets: [
        { index: 0, name: 'n1/demo.a/eth0', ns: (0x18e9_2f0fn << 32n) + 5n, data: '6162636465', original: 99, flags: 2, comment: 'hop' },
        { index: 1, name: 'n1/node/lo', ns: 7000n, data: '7879', original: 2, flags: 0, comment: undefined },
      ],
      truncated: false,
      end: bytes.length,
    })
  })

  test('time units of any resolution, and an offset', () => {
    const offset = Buffer.alloc(8)
    if (little) offset.writeBigInt64LE(100n)
    else offset.writeBigInt64BE(100n)
    const bytes = Buffer.concat([
      section,
      link('a', option(9, Buffer.of(3)), option(14, offset)),
      link('b', option(9, Buffer.of(0x80 | 10))),
      packet(0, 0, 1500, Buffer.alloc(0)),
      packet(1, 0, 512, Buffer.alloc(0)),
    ])
    expect(readAll(bytes).packets.map(({ ns }) => ns)).toEqual([101_500_000_000n, 500_000_000n])
  })

  test('interfaces begin anew in each section', () => {
    const bytes = Buffer.concat([
      section,
      link('first', nanos),
      packet(0, 0, 1, Buffer.of(1)),
      section,
      link('second', nanos),
      packet(0, 0, 2, Buffer.of(2)),
    ])
    expect(readAll(bytes).packets.map(({ name, index }) => [index, name])).toEqual([
      [0, 'first'],
      [1, 'second'],
    ])
  })

  const whole = Buffer.concat([section, link('i', nanos), packet(0, 0, 1, Buffer.from('abc'))])
  const at = section.length + link('i', nanos).length
  const changed = (offset: number, value: Buffer) => {
    const copy = Buffer.from(whole)
    value.copy(copy, offset)
    return copy
  }
  test.each([
    ['no section header', whole.subarray(section.length), 'byte 0x0', /not a pcapng file/],
    ['a wrong magic', changed(8, u32(1)), 'byte 0x0', /byte-order magic/],
    ['a newer version', changed(12, u16(2)), 'byte 0x0', /version 2/],
    ['an odd length', changed(at + 4, u32(33)), `byte 0x${at.toString(16)}`, /impossible length 33/],
    ['two lengths', changed(whole.length - 4, u32(8)), `byte 0x${at.toString(16)}`, /two different lengths/],
    ['more data than the block', changed(at + 20, u32(64)), `byte 0x${at.toString(16)}`, /claims 64 captured/],
    ['an unknown interface', changed(at + 8, u32(1)), `byte 0x${at.toString(16)}`, /interface 1, but only 1/],
    ['a simple packet', Buffer.concat([whole, block(3, u32(0))]), `byte 0x${whole.length.toString(16)}`, /does not tell time/],
    [
      'too fine a clock',
      Buffer.concat([section, link('i', option(9, Buffer.of(12)))]),
      `byte 0x${section.length.toString(16)}`,
      /finer than nanoseconds/,
    ],
  ])('%s is an error that names the place', (_, bytes, place, problem) => {
    expect(() => readAll(bytes)).toThrow(EvidenceError)
    expect(() => readAll(bytes)).toThrow(problem)
    expect(() => readAll(bytes)).toThrow(place)
  })
})

describe('the writer', () => {
  const writer = new PcapngWriter()
  const head = Buffer.concat([writer.header(), writer.interface('n1/demo.a/eth0').block, writer.interface('n1/node/lo').block])
  const packets = [1n, 1_795_000_000_123_456_789n].map((tNs, i) =>
    writer.packet({
      interfaceId: i,
      tNs,
      data: Buffer.alloc(5 + i, i),
      originalLength: 1000,
      direction: i ? 'in' : 'out',
      comment: 'a hop, ünïcode',
    }),
  )

  test('is read back', () => {
    const { packets: read, truncated } = readAll(Buffer.concat([head, ...packets]))
    expect(truncated).toBe(false)
    expect(read.map(({ ns, flags, name, comment, original }) => [ns, flags, name, comment, original])).toEqual([
      [1n, 2, 'n1/demo.a/eth0', 'a hop, ünïcode', 1000],
      [1_795_000_000_123_456_789n, 1, 'n1/node/lo', 'a hop, ünïcode', 1000],
    ])
  })

  test('refuses a packet of an interface that nobody described', () => {
    expect(() => writer.packet({ interfaceId: 2, tNs: 0n, data: Buffer.alloc(0), originalLength: 0 })).toThrow(/interface 2, but only 2/)
  })

  test('what a kill leaves, cut at any byte, gives the whole packets before it and says where it was cut', () => {
    const bytes = Buffer.concat([head, ...packets])
    const ends = [head.length, head.length + packets[0]!.length, bytes.length]
    for (let size = head.length; size <= bytes.length; size++) {
      const { packets: read, truncated, end } = readAll(bytes.subarray(0, size))
      const complete = ends.filter((e) => e <= size).length - 1
      expect([size, read.length, truncated, end]).toEqual([size, complete, !ends.includes(size), ends[complete]])
    }
  })
})

test('whatever the bytes are, there are packets or an EvidenceError', () => {
  const writer = new PcapngWriter()
  const frame = Buffer.from(
    '0200000000010200000000020800450000280001000040060000010203040506070800500051000000010000000250020200000000006162',
    'hex',
  )
  const valid = Buffer.concat([
    writer.header(),
    writer.interface('n/node/eth0').block,
    ...Array.from({ length: 3 }, (_, i) =>
      writer.packet({ interfaceId: 0, tNs: BigInt(i), data: frame, originalLength: 60, direction: 'in', comment: 'x' }),
    ),
  ])
  const attempt = (bytes: Buffer) => {
    try {
      parsePackets(bytes, 'f')
      printPackets(bytes, 'f', () => {})
    } catch (error) {
      expect(error).toBeInstanceOf(EvidenceError)
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => attempt(Buffer.from(bytes))))
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 6 }), fc.nat(valid.length), (changes, length) => {
      const bytes = Buffer.from(valid.subarray(0, length))
      for (const [at, value] of changes) if (at < length) bytes[at] = value
      attempt(bytes)
    }),
    { numRuns: 2000 },
  )
})
