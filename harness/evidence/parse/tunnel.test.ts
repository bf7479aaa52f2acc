import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PacketObservation } from '../observation.ts'
import { PcapngWriter } from '../pcapng-write.ts'
import { decodeEthernet, PacketFields } from './packet.ts'
import { parsePackets } from './packets.ts'
import { decodeTunnel } from './tunnel.ts'

const bytes = (...parts: string[]) => Buffer.from(parts.join('').replaceAll(/[\s|]/g, ''), 'hex')
const u16 = (n: number) => n.toString(16).padStart(4, '0')

/** An Ethernet frame with a datagram 10.244.1.1:36481 → 10.244.1.2:PORT, no checksums. */
function datagram(payload: Buffer, port = 6081): Buffer {
  const ip = `4500 ${u16(28 + payload.length)} 350a 0000 40 11 0000 0af40101 0af40102`
  return Buffer.concat([bytes('0200000001020200000000020800', ip, '8e81', u16(port), u16(8 + payload.length), '0000'), payload])
}

/** SYN 10.244.1.10:40156 → 10.96.0.105:8000, in a frame of the tunnel's own addresses. */
const syn = bytes(
  '72e3d88702c3 a2602ada2443 0800',
  '4500 0028 2cd5 4000 3f 06 0000 0af4010a 0a600069',
  '9cdc 1f40 239b6be1 00000000 5002 faf0 0000 0000',
)
const inner = {
  protocol: 'tcp',
  from: '10.244.1.10:40156',
  to: '10.96.0.105:8000',
  macFrom: 'a2:60:2a:da:24:43',
  macTo: '72:e3:d8:87:02:c3',
  flags: 'S',
  seq: 0x239b6be1,
  ack: 0,
  payloadLength: 0,
}
// RFC 8926 figure 3: version and option length, flags, protocol; identifier 1001, reserved. RFC 7348 figure 1: flags, reserved; identifier 1000, reserved.
const geneve = bytes('00 00 6558 | 0003e9 00')
const vxlan = bytes('08 000000 | 0003e8 00')
/** Class 0x0102, type 0x80 (critical), four bytes of data; and one without data. */
const options = bytes('0102 80 01 aabbccdd | 0102 01 00')
const withOptions = bytes('03 40 6558 | ffffff 00')

function observe(frame: Buffer, original = frame.length): PacketObservation {
  const writer = new PcapngWriter()
  const { block } = writer.interface('n1/node/veth-zt')
  const packet = writer.packet({ interfaceId: 0, tNs: 0n, data: frame, originalLength: original, direction: 'out' })
  return parsePackets(Buffer.concat([writer.header(), block, packet]), 'f').packets[0]!
}

describe('a frame inside a datagram to a tunnel’s port', () => {
  const outer = { protocol: 'udp', from: '10.244.1.1:36481', to: '10.244.1.2:6081', macTo: '02:00:00:00:01:02' }
  test.each([
    ['GENEVE', datagram(Buffer.concat([geneve, syn])), { ...outer, tunnel: { header: 'geneve', vni: 1001, ...inner } }],
    ['on 6082', datagram(Buffer.concat([geneve, syn]), 6082), { to: '10.244.1.2:6082', tunnel: { header: 'geneve', vni: 1001, ...inner } }],
    [
      'GENEVE with options, the greatest identifier',
      datagram(Buffer.concat([withOptions, options, syn])),
      { ...outer, tunnel: { header: 'geneve', vni: 0xffffff, ...inner } },
    ],
    [
      'VXLAN whose header nobody rewrote',
      datagram(Buffer.concat([vxlan, syn])),
      { ...outer, tunnel: { header: 'vxlan', vni: 1000, ...inner } },
    ],
    [
      'what is no IP inside',
      datagram(Buffer.concat([geneve, bytes('ffffffffffff a2602ada2443 0806 0001 0800 06 04 0001')])),
      { tunnel: { protocol: 'other', from: '', to: '', macTo: 'ff:ff:ff:ff:ff:ff', payloadLength: 8 } },
    ],
  ])('%s', (_, frame, expected) => expect(observe(frame)).toMatchObject(expected))

  test.each([
    ['another port', datagram(Buffer.concat([geneve, syn]), 4789)],
    ['another version', datagram(Buffer.concat([bytes('40 00 6558 0003e9 00'), syn]))],
    ['a control message', datagram(Buffer.concat([bytes('00 80 6558 0003e9 00'), syn]))],
    ['reserved bits of the flags', datagram(Buffer.concat([bytes('00 01 6558 0003e9 00'), syn]))],
    ['a reserved byte that is not zero', datagram(Buffer.concat([bytes('00 00 6558 0003e9 01'), syn]))],
    ['IP without Ethernet', datagram(Buffer.concat([bytes('00 00 0800 0003e9 00'), syn.subarray(14)]))],
    ['VXLAN without an identifier', datagram(Buffer.concat([bytes('00 000000 0003e8 00'), syn]))],
    ['options longer than the datagram', datagram(Buffer.concat([bytes('3f 00 6558 0003e9 00'), syn]))],
    ['a header that was not captured', datagram(Buffer.concat([geneve, syn])).subarray(0, 49)],
    ['nothing behind UDP', datagram(Buffer.alloc(0))],
  ])('not: %s', (_, frame) => {
    const seen = observe(frame, 200)
    expect(seen.protocol).toBe('udp')
    expect(seen).not.toHaveProperty('tunnel')
  })

  test('cut by the capture: what there is of it, with the length that it had', () => {
    const data = bytes(
      '4500 0034 2cd5 4000 3f 06 0000 0af4010a 0a600069',
      '9cdc 1f40 239b6be1 00000001 5018 faf0 0000 0000',
      '68656c6c6f20776f726c6421',
    )
    const frame = datagram(Buffer.concat([geneve, syn.subarray(0, 14), data]))
    const cut = observe(frame.subarray(0, -7), frame.length).tunnel!
    expect({ ...cut, payload: Buffer.from(cut.payload).toString() }).toMatchObject({ flags: 'AP', payloadLength: 12, payload: 'hello' })
    expect(observe(frame.subarray(0, 50 + 9), frame.length).tunnel).toMatchObject({ macFrom: '', macTo: '72:e3:d8:87:02:c3', from: '' })
  })

  test('one tunnel is read, not what is in a tunnel in it', () => {
    const seen = observe(datagram(Buffer.concat([geneve, datagram(Buffer.concat([vxlan, syn]))])))
    expect(seen.tunnel).toMatchObject({ protocol: 'udp', to: '10.244.1.2:6081' })
    expect(seen.tunnel).not.toHaveProperty('tunnel')
  })
})

describe('whatever is inside', () => {
  const fields = (frame: Buffer) => {
    const into = new PacketFields()
    decodeEthernet(new DataView(frame.buffer, frame.byteOffset, frame.length), 0, frame.length, frame.length, into)
    return into
  }

  test('it is decoded as the same frame alone is, behind any options', () => {
    const frames = fc.oneof(
      fc.uint8Array({ maxLength: 90 }).map((rest) => Buffer.from(rest)),
      fc.uint8Array({ maxLength: 90 }).map((rest) => Buffer.concat([syn, rest])),
      fc.uint8Array({ maxLength: 20 }).map((rest) => datagram(Buffer.concat([geneve, rest]))),
    )
    fc.assert(
      fc.property(frames, fc.nat(63), fc.nat(0xffffff), (frame, words, vni) => {
        const header = Buffer.concat([bytes('00006558'), Buffer.alloc(4), Buffer.alloc(4 * words, 0x80)])
        header[0] = words
        header.writeUInt32BE(vni * 256, 4)
        const whole = datagram(Buffer.concat([header, frame]))
        const view = new DataView(whole.buffer, whole.byteOffset, whole.length)
        const into = new PacketFields()
        expect(decodeTunnel(view, fields(whole), into)).toEqual({ form: 'geneve', vni })
        const alone = fields(frame)
        const moved = whole.length - frame.length
        expect({ ...into }).toEqual({
          ...alone,
          frameOffset: alone.frameOffset + moved,
          networkOffset: alone.networkOffset + moved,
          payloadOffset: alone.payloadOffset + moved,
        })
      }),
      { numRuns: 2000 },
    )
  })

  test('nothing reaches out of the datagram', () => {
    const heads = [geneve, vxlan, withOptions, bytes('3f 00 6558 0003e9 00'), Buffer.concat([geneve, syn.subarray(0, 20)])]
    fc.assert(
      fc.property(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 300 }), fc.nat(0xffff), fc.nat(400), (head, rest, length, cut) => {
        const whole = datagram(Buffer.concat([head, rest]))
        whole.writeUInt16BE(length, 16)
        const frame = new Uint8Array(whole.subarray(0, Math.max(14, whole.length - cut)))
        const view = new DataView(frame.buffer)
        const outer = new PacketFields()
        decodeEthernet(view, 0, frame.length, whole.length, outer)
        const into = new PacketFields()
        if (!decodeTunnel(view, outer, into)) return
        expect(into.payloadOffset + into.payloadCaptured).toBeLessThanOrEqual(frame.length)
        expect(into.frameOffset + into.frameCaptured).toBeLessThanOrEqual(frame.length)
        expect(into.frameCaptured).toBeGreaterThanOrEqual(0)
        expect(into.payloadLength).toBeGreaterThanOrEqual(into.payloadCaptured)
      }),
      { numRuns: 3000 },
    )
  })
})
