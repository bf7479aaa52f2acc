import fc from 'fast-check'
import { expect, test } from 'vitest'
import { H2Error } from './frame.ts'
import { FrameReader } from './frame-reader.ts'

/** Notes what it is told, one text each. */
function reader(maxFrame = 16_384) {
  const told: string[] = []
  let piece = ''
  const made = new FrameReader(
    {
      dataBegins: (id, length) => told.push(`DATA ${id} of ${length}`),
      data(bytes) {
        piece += bytes.toString('latin1')
      },
      dataEnds(endStream) {
        told.push(`"${piece}"${endStream ? ' end' : ''}`)
        piece = ''
      },
      frame: (kind, flags, id, payload) => told.push(`${kind} ${flags} ${id} ${payload.toString('hex')}`),
    },
    maxFrame,
  )
  return { read: (bytes: Buffer) => made.read(bytes), told }
}

const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')

// RFC 9113, 4.1 and 6: length (24), type (8), flags (8), reserved bit and stream (32), payload.
const vectors: [string, string, string[]][] = [
  ['SETTINGS', '000000 04 01 00000000', ['4 1 0 ']],
  ['PING', '000008 06 00 00000000 0102030405060708', ['6 0 0 0102030405060708']],
  ['WINDOW_UPDATE, the reserved bit is not looked at', '000004 08 00 80000003 7fffffff', ['8 0 3 7fffffff']],
  ['DATA that ends its stream', '000002 00 01 00000001 6869', ['DATA 1 of 2', '"hi" end']],
  ['empty DATA', '000000 00 01 00000005', ['DATA 5 of 0', '"" end']],
  ['padded DATA: its padding is not handed over, and counts', '000006 00 08 00000001 03 6869 000000', ['DATA 1 of 6', '"hi"']],
  ['DATA of padding only', '000004 00 09 00000001 03 000000', ['DATA 1 of 4', '"" end']],
  ['types that nobody knows are left out', '000003 0a ff 00000009 010203 000000 04 00 00000000', ['4 0 0 ']],
]

test.each(vectors)('%s', (_name, bytes, expected) => {
  const { read, told } = reader()
  read(hex(bytes))
  expect(told).toEqual(expected)
})

test('frames may come in any pieces', () => {
  const all = hex(vectors.map(([, bytes]) => bytes).join(''))
  const expected = vectors.flatMap(([, , told]) => told)
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }), (sizes) => {
      const { read, told } = reader()
      for (let at = 0, i = 0; at < all.length; at += sizes[i++ % sizes.length]!) {
        // The piece's memory is used again at once, as a shared read buffer is.
        const piece = Buffer.from(all.subarray(at, at + sizes[i % sizes.length]!))
        read(piece)
        piece.fill(0xee)
      }
      expect(told).toEqual(expected)
    }),
  )
})

test.each([
  ['a frame that is too large', '004001 00 00 00000001', 'a frame of 16385 octets, 16384 are allowed'],
  ['padding that is longer than the rest', '000003 00 08 00000001 03 6869', 'padded beyond its end'],
  ['padded DATA of nothing', '000000 00 08 00000001', 'without its length of padding'],
])('%s is an error', (_name, bytes, message) => {
  expect(() => reader().read(hex(bytes))).toThrow(message)
})

test('whatever the bytes, frames or an H2Error', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }), (pieces) => {
      const { read } = reader(50)
      try {
        for (const piece of pieces) read(Buffer.from(piece))
      } catch (error) {
        expect(error).toBeInstanceOf(H2Error)
      }
    }),
  )
})
