import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PcapngWriter } from '../pcapng-write.ts'
import { endpoint4, endpoint6 } from './addresses.ts'
import { decodeEthernet, destination, flagsText, PacketFields, source } from './packet.ts'
import { parsePackets } from './packets.ts'

const macs = '020000000001 020000000002'
/** 10.0.0.1:80 → 10.0.0.2:81, SYN+ACK, seq 1, ack 2. */
const tcp = '0050 0051 00000001 00000002 5012 0200 0000 0000'
const udp = '0035 0036 000c 0000'
const ip4 = (protocol: string, length: string, fragment = '0000') =>
  `45 00 ${length} 0001 ${fragment} 40 ${protocol} 0000 0a000001 0a000002`
const ip6 = (next: string, length: string) => `60000000 ${length} ${next} 40 ${'fd'.padEnd(31, '0')}1 ${'fd'.padEnd(31, '0')}2`
const frame = (...parts: string[]) => Buffer.from(parts.join('').replaceAll(' ', ''), 'hex')

function decode(bytes: Buffer, original = bytes.length) {
  const fields = new PacketFields()
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  decodeEthernet(view, 0, bytes.length, original, fields)
  return {
    from: source(view, fields),
    to: destination(view, fields),
    protocol: fields.protocol,
    flags: fields.tcpFlags,
    seq: fields.seq,
    length: fields.payloadLength,
    payload: bytes.toString('latin1', fields.payloadOffset, fields.payloadOffset + fields.payloadCaptured),
  }
}

describe('decoding', () => {
  const ports = { from: '10.0.0.1:80', to: '10.0.0.2:81', protocol: 6, flags: 0x12, seq: 1 }
  test.each([
    ['TCP', frame(macs, '0800', ip4('06', '002b'), tcp, '616263'), undefined, { ...ports, length: 3, payload: 'abc' }],
    [
      'padding behind the IP length',
      frame(macs, '0800', ip4('06', '0029'), tcp, '61 0000000000'),
      undefined,
      { ...ports, length: 1, payload: 'a' },
    ],
    ['a VLAN tag', frame(macs, '8100 0005 0800', ip4('06', '0029'), tcp, '61'), undefined, { ...ports, length: 1, payload: 'a' }],
    ['a payload captured in part', frame(macs, '0800', ip4('06', '05dc'), tcp, '6162'), 1514, { ...ports, length: 1460, payload: 'ab' }],
    [
      'a TCP header captured in part',
      frame(macs, '0800', ip4('06', '05dc'), tcp).subarray(0, 38),
      1514,
      { ...ports, flags: 0, seq: 0, length: 1460, payload: '' },
    ],
    ['IP length 0 (BIG TCP)', frame(macs, '0800', ip4('06', '0000'), tcp, '6162'), 100_054, { ...ports, length: 100_000, payload: 'ab' }],
    [
      'UDP',
      frame(macs, '0800', ip4('11', '0020'), udp, '6d6d6d6d'),
      undefined,
      { from: '10.0.0.1:53', to: '10.0.0.2:54', protocol: 17, length: 4, payload: 'mmmm' },
    ],
    [
      'a later fragment',
      frame(macs, '0800', ip4('11', '0018', '0001'), '6d6d6d6d'),
      undefined,
      { from: '10.0.0.1', to: '10.0.0.2', length: 4, payload: 'mmmm' },
    ],
    [
      'TCP over IPv6',
      frame(macs, '86dd', ip6('06', '0015'), tcp, '61'),
      undefined,
      { from: '[fd00::1]:80', to: '[fd00::2]:81', flags: 0x12, length: 1, payload: 'a' },
    ],
    [
      'hop-by-hop and destination options',
      frame(macs, '86dd', ip6('00', '0025'), '3c00000000000000', '0600000000000000', tcp, '61'),
      undefined,
      { from: '[fd00::1]:80', protocol: 6, length: 1, payload: 'a' },
    ],
    [
      'a later IPv6 fragment',
      frame(macs, '86dd', ip6('2c', '000a'), '0600000800000001', '6161'),
      undefined,
      { from: '[fd00::1]', protocol: 6, length: 2, payload: 'aa' },
    ],
    ['IPv6 length 0 (BIG TCP)', frame(macs, '86dd', ip6('06', '0000'), tcp, '61'), 90_074, { length: 90_000, payload: 'a' }],
    [
      'ICMP',
      frame(macs, '0800', ip4('01', '001e'), '0800000000010001', '7069'),
      undefined,
      { from: '10.0.0.1', to: '10.0.0.2', protocol: 1, payload: 'pi' },
    ],
    ['another IP protocol', frame(macs, '0800', ip4('84', '0016'), '6162'), undefined, { from: '10.0.0.1', protocol: 132, payload: 'ab' }],
    ['no IP at all', frame(macs, '0806', '000108000604'), undefined, { from: '', to: '', protocol: -1, length: 6 }],
    [
      'an IP header captured in part',
      frame(macs, '0800', '4500').subarray(0, 15),
      100,
      { from: '', protocol: -1, length: 86, payload: 'E' },
    ],
    ['less than a MAC header', Buffer.from('0200', 'hex'), 60, { from: '', protocol: -1, payload: '' }],
  ])('%s', (_, bytes, original, expected) => {
    expect(decode(bytes, original)).toMatchObject(expected)
  })

  test('never reaches out of the frame, whatever is in it', () => {
    const heads = [
      '',
      '0800',
      '86dd',
      '8100',
      '080045',
      '080046',
      '86dd60',
      '08004500002800010000400600000a0000010a000002',
      `86dd${ip6('00', '0080').replaceAll(' ', '')}`,
    ]
    fc.assert(
      fc.property(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 120 }), fc.nat(70_000), (head, rest, more) => {
        const bytes = Buffer.concat([frame(macs, head), rest])
        const guarded = new Uint8Array(bytes).buffer
        const fields = new PacketFields()
        decodeEthernet(new DataView(guarded), 0, bytes.length, bytes.length + more, fields)
        expect(fields.payloadOffset + fields.payloadCaptured).toBeLessThanOrEqual(bytes.length)
        expect(fields.payloadCaptured).toBeGreaterThanOrEqual(0)
        expect(fields.payloadLength).toBeGreaterThanOrEqual(fields.payloadCaptured)
      }),
      { numRuns: 2000 },
    )
  })
})

test('flags come in one order', () => {
  expect([0, 0x02, 0x12, 0x11, 0x14, 0x18, 0x3f].map(flagsText)).toEqual(['', 'S', 'SA', 'AF', 'AR', 'AP', 'SAFRPU'])
})

test('endpoints: every address and port its own text, remembered or not', () => {
  const bytes = new DataView(Uint8Array.from([10, 0, 0, 1, 10, 0, 1, 1, ...Array(14).fill(0), 1, 5, 0xfd, ...Array(15).fill(0)]).buffer)
  for (let again = 0; again < 2; again++) {
    expect([80, 80 + 256, 0, 65535, -1].map((port) => endpoint4(bytes, 0, port))).toEqual([
      '10.0.0.1:80',
      '10.0.0.1:336',
      '10.0.0.1:0',
      '10.0.0.1:65535',
      '10.0.0.1',
    ])
    expect(endpoint4(bytes, 4, 80)).toBe('10.0.1.1:80')
    expect([80, -1].map((port) => endpoint6(bytes, 24, port))).toEqual(['[fd00::]:80', '[fd00::]'])
    expect(endpoint6(bytes, 8, 1)).toBe('[::105]:1')
  }
})

describe('observations', () => {
  const capture = (name: string, direction: 'in' | 'out' | undefined, linktype = 1) => {
    const writer = new PcapngWriter()
    const data = frame(macs, '0800', ip4('06', '002b'), tcp, '616263')
    return Buffer.concat([
      writer.header(),
      writer.interface(name, linktype).block,
      writer.packet({
        interfaceId: 0,
        tNs: 1_795_000_000_123_456_789n,
        data,
        originalLength: data.length,
        ...(direction ? { direction } : {}),
      }),
    ])
  }

  test('have every field', () => {
    const { packets, cutBytes } = parsePackets(capture('n1/demo.sleep/eth0', 'out'), 'evidence/n1/packets.pcapng')
    expect(cutBytes).toBe(0)
    expect(packets).toEqual([
      {
        kind: 'packet',
        ref: 'evidence/n1/packets.pcapng#p0',
        node: 'n1',
        netns: 'demo.sleep',
        // A quarter of a microsecond is what a double keeps.
        t: 1795000000123456 + 0.75,
        dev: 'eth0',
        direction: 'out',
        protocol: 'tcp',
        from: '10.0.0.1:80',
        to: '10.0.0.2:81',
        macFrom: '02:00:00:00:00:02',
        macTo: '02:00:00:00:00:01',
        flags: 'SA',
        seq: 1,
        ack: 2,
        payloadLength: 3,
        payload: new Uint8Array(Buffer.from('abc')),
      },
    ])
  })

  test('of a packet that came in', () =>
    expect(parsePackets(capture('n1/node/lo', 'in'), 'f').packets[0]).toMatchObject({ direction: 'in', netns: 'node', dev: 'lo' }))

  test.each([
    ['an interface without a place', capture('eth0', 'in'), /'eth0', not node\/netns\/dev/],
    ['a packet without a direction', capture('n/node/eth0', undefined), /packet 0: its block does not tell the direction/],
    ['a cooked capture', capture('n/node/any', 'in', 113), /link type 113/],
  ])('%s is refused', (_, bytes, problem) => expect(() => parsePackets(bytes, 'f')).toThrow(problem))
})
