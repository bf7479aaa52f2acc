import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PacketObservation } from '../observation.ts'
import { connections } from './connections.ts'
import { reassemble, runBytes } from './stream.ts'
import { findToken, findTokenInPackets } from './token.ts'

let made = 0
function packet(change: Partial<PacketObservation> & { text?: string }): PacketObservation {
  const { text = '', ...fields } = change
  const payload = Buffer.from(text)
  return {
    kind: 'packet',
    ref: `f#p${made++}`,
    node: 'n1',
    netns: 'demo.sleep',
    t: made,
    dev: 'eth0',
    direction: 'out',
    protocol: 'tcp',
    from: '10.0.0.1:1000',
    to: '10.0.0.2:80',
    macFrom: '',
    macTo: '',
    flags: 'A',
    seq: 0,
    ack: 0,
    payloadLength: payload.length,
    payload,
    ...fields,
  }
}
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')
const content = (packets: PacketObservation[]) => reassemble(packets).runs.map((run) => [run.start, text(runBytes(run))])

describe('reassembly', () => {
  test('out of order, retransmitted and overlapping segments give each byte once', () => {
    const stream = reassemble([
      packet({ flags: 'S', seq: 99 }),
      packet({ seq: 105, text: 'fghij' }),
      packet({ seq: 100, text: 'abcde' }),
      packet({ seq: 100, text: 'abcde' }),
      packet({ seq: 103, text: 'defghijkl' }),
      packet({ seq: 112, flags: 'AF', text: 'm' }),
    ])
    expect(stream).toMatchObject({ complete: true, started: true, ended: 'fin', length: 13, gaps: [], conflicts: [] })
    expect(stream.runs.map((run) => text(runBytes(run)))).toEqual(['abcdefghijklm'])
  })

  test('sequence numbers wrap', () => {
    expect(
      content([packet({ flags: 'S', seq: 0xfffffffd }), packet({ seq: 0xfffffffe, text: 'abcd' }), packet({ seq: 2, text: 'ef' })]),
    ).toEqual([[0, 'abcdef']])
    expect(reassemble([packet({ flags: 'S', seq: 0xffffffff }), packet({ seq: 0, text: 'ab' })]).complete).toBe(true)
  })

  test('a lost segment is a gap, and so is the end that FIN or the peer tells of', () => {
    const syn = packet({ flags: 'S', seq: 99 })
    const lost = reassemble([syn, packet({ seq: 100, text: 'ab' }), packet({ seq: 105, text: 'fg' })])
    expect(lost).toMatchObject({ complete: false, gaps: [{ start: 2, end: 5, reason: 'missing' }], length: 7 })
    expect(reassemble([syn, packet({ flags: 'AF', seq: 103 })]).gaps).toEqual([{ start: 0, end: 3, reason: 'missing' }])
    expect(reassemble([syn, packet({ seq: 100, text: 'ab' })], 106).gaps).toEqual([{ start: 2, end: 6, reason: 'missing' }])
    // The acknowledgement of a FIN counts one more than the bytes.
    expect(reassemble([syn, packet({ seq: 100, flags: 'AF', text: 'ab' })], 103)).toMatchObject({ complete: true, length: 2 })
  })

  test('a segment that was captured short is a truncated gap, unless a retransmission has its bytes', () => {
    const syn = packet({ flags: 'S', seq: 99 })
    const short = packet({ seq: 100, text: 'abc', payloadLength: 10 })
    const next = packet({ seq: 110, text: 'k' })
    expect(reassemble([syn, short, next])).toMatchObject({
      complete: false,
      gaps: [{ start: 3, end: 10, reason: 'truncated' }],
      length: 11,
    })
    expect(reassemble([syn, short])).toMatchObject({ complete: false, gaps: [{ start: 3, end: 10, reason: 'truncated' }], length: 10 })
    expect(reassemble([syn, short, next, packet({ seq: 100, text: 'abcdefghij' })])).toMatchObject({ complete: true, gaps: [] })
    const both = reassemble([syn, short, packet({ seq: 115, text: 'p' })])
    expect(both.gaps).toEqual([
      { start: 3, end: 10, reason: 'truncated' },
      { start: 10, end: 15, reason: 'missing' },
    ])
  })

  test('without a SYN a stream begins at its lowest byte and is never complete', () => {
    const stream = reassemble([packet({ seq: 500, text: 'cd' }), packet({ seq: 498, text: 'ab' })])
    expect(stream).toMatchObject({ started: false, complete: false, length: 4, gaps: [] })
    expect(stream.runs.map((run) => [run.start, text(runBytes(run))])).toEqual([[0, 'abcd']])
  })

  test('a retransmission with other bytes is reported', () => {
    const other = packet({ seq: 101, text: 'XY' })
    expect(reassemble([packet({ flags: 'S', seq: 99 }), packet({ seq: 100, text: 'abc' }), other]).conflicts).toEqual([other])
  })

  test('any order and any cuts of a message, from any initial number, give the message', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 200 }),
        fc.integer({ min: 0, max: 0xffffffff }),
        fc.array(fc.tuple(fc.nat(199), fc.nat(60)), { maxLength: 12 }),
        fc.infiniteStream(fc.nat(1000)),
        (message, isn, extra, random) => {
          const cut = (start: number, length: number) =>
            packet({
              seq: (isn + 1 + start) >>> 0,
              payload: message.slice(start, start + length),
              payloadLength: message.slice(start, start + length).length,
            })
          const whole: PacketObservation[] = []
          for (let at = 0; at < message.length; ) {
            const length = 1 + (random.next().value! % 40)
            whole.push(cut(at, length))
            at += length
          }
          const again = extra.filter(([start]) => start < message.length).map(([start, length]) => cut(start, length))
          const shuffled = [...whole, ...again].map((p) => [random.next().value!, p] as const).sort((a, b) => a[0] - b[0])
          const stream = reassemble([packet({ flags: 'S', seq: isn }), ...shuffled.map(([, p]) => p)])
          expect(stream).toMatchObject({ complete: true, conflicts: [], length: message.length })
          expect(Buffer.concat(stream.runs.map(runBytes))).toEqual(Buffer.from(message))
        },
      ),
    )
  })
})

describe('tokens', () => {
  const syn = packet({ flags: 'S', seq: 99 })
  const first = packet({ seq: 100, text: 'xxTOK' })
  const second = packet({ seq: 105, text: 'ENyyTOKEN' })

  test('are found with their packets, across segments too', () => {
    expect(findToken(reassemble([syn, second, first]), 'TOKEN')).toEqual([
      { offset: 2, packets: [first, second] },
      { offset: 9, packets: [second] },
    ])
  })

  test('a packet that ends where the token begins has no part in it, nor one that begins where it ends', () => {
    const [before, only, after] = ['xx', 'TOKEN', 'yy'].map((text, i) => packet({ seq: 100 + [0, 2, 7][i]!, text }))
    expect(findToken(reassemble([syn, before!, only!, after!]), 'TOKEN')).toEqual([{ offset: 2, packets: [only] }])
  })

  test('are not found across a gap', () => {
    expect(findToken(reassemble([syn, first, packet({ seq: 106, text: 'EN' })]), 'TOKEN')).toEqual([])
  })

  test('are found in packets of any protocol and over segments of each vantage point', () => {
    const datagram = packet({ protocol: 'udp', flags: '', text: 'a TOKEN' })
    const elsewhere = [syn, first, second].map((p) => packet({ ...p, dev: 'veth0', direction: 'in' }))
    const hits = findTokenInPackets([syn, datagram, first, second, ...elsewhere], 'TOKEN')
    expect(hits.map((hit) => hit.packets.map((p) => p.dev))).toEqual([['eth0'], ['eth0'], ['veth0'], ['eth0', 'eth0'], ['veth0', 'veth0']])
  })

  test('an empty token is refused', () => expect(() => findTokenInPackets([], '')).toThrow(/empty token/))
})

describe('connections', () => {
  const client = '10.0.0.1:1000'
  const server = '10.0.0.2:80'
  const back = { from: server, to: client, direction: 'in' as const }

  test('both directions, and a second connection on the same ports', () => {
    const packets = [
      packet({ flags: 'S', seq: 10 }),
      packet({ flags: 'SA', seq: 50, ack: 11, ...back }),
      packet({ seq: 11, ack: 51, text: 'hello' }),
      packet({ seq: 51, ack: 16, text: 'there', ...back }),
      packet({ flags: 'S', seq: 9000 }),
      packet({ seq: 9001, text: 'again' }),
    ]
    const found = connections(packets)
    expect(found.map((c) => [c.client, c.server, c.packets.length])).toEqual([
      [client, server, 4],
      [client, server, 2],
    ])
    expect(found[0]!.toServer).toMatchObject({ complete: true, length: 5 })
    expect(found[0]!.toClient).toMatchObject({ complete: true, length: 5 })
  })

  test('what the peer acknowledged but nobody captured is a gap', () => {
    const [only] = connections([
      packet({ flags: 'S', seq: 10 }),
      packet({ flags: 'SA', seq: 50, ack: 11, ...back }),
      packet({ seq: 51, ack: 16, ...back }),
    ])
    expect(only!.toServer.gaps).toEqual([{ start: 0, end: 5, reason: 'missing' }])
  })

  test('acknowledgements wrap too', () => {
    const answers = [
      packet({ flags: 'SA', seq: 50, ack: 0xfffffff1, ...back }),
      packet({ seq: 51, ack: 4, ...back }),
      packet({ seq: 51, ack: 0xfffffff8, ...back }),
    ]
    const [only] = connections([packet({ flags: 'S', seq: 0xfffffff0 }), ...answers])
    expect(only!.toServer.gaps).toEqual([{ start: 0, end: 19, reason: 'missing' }])
  })

  test('lo counts once', () => {
    const both = (change: Parameters<typeof packet>[0]) => [
      packet({ ...change, dev: 'lo' }),
      packet({ ...change, dev: 'lo', direction: 'in' }),
    ]
    const [only, ...more] = connections([...both({ flags: 'S', seq: 10 }), ...both({ seq: 11, text: 'hi' })])
    expect(more).toEqual([])
    expect(only!.packets.map((p) => p.direction)).toEqual(['out', 'out'])
  })

  test('seen from the middle: who answered is the server', () => {
    expect(connections([packet({ flags: 'SA', ...back })])[0]).toMatchObject({ client, server })
  })
})
