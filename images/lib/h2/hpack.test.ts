import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Field, HpackDecoder } from './hpack-decoder.ts'
import { encodeHeaders } from './hpack-encoder.ts'
import { HpackError, huffmanDecode } from './huffman.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
const roomy = 1 << 16

// RFC 7541, appendix C: each list is what one connection saw, block after block.
const first: Field[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'www.example.com'],
]
const second: Field[] = [...first, ['cache-control', 'no-cache']]
const third: Field[] = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':path', '/index.html'],
  [':authority', 'www.example.com'],
  ['custom-key', 'custom-value'],
]
const moved: Field[] = [
  [':status', '302'],
  ['cache-control', 'private'],
  ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
  ['location', 'https://www.example.com'],
]
const unchanged: Field[] = [[':status', '307'], ...moved.slice(1)]
const cookie: Field[] = [
  [':status', '200'],
  ['cache-control', 'private'],
  ['date', 'Mon, 21 Oct 2013 20:13:22 GMT'],
  ['location', 'https://www.example.com'],
  ['content-encoding', 'gzip'],
  ['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'],
]

describe('decoding: RFC 7541, appendix C', () => {
  test.each([
    ['C.2.1 literal with indexing', '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572', ['custom-key', 'custom-header']],
    ['C.2.2 literal without indexing', '040c 2f73 616d 706c 652f 7061 7468', [':path', '/sample/path']],
    ['C.2.3 literal never indexed', '1008 7061 7373 776f 7264 0673 6563 7265 74', ['password', 'secret']],
    ['C.2.4 indexed', '82', [':method', 'GET']],
  ])('%s', (_name, bytes, field) => {
    expect(new HpackDecoder(roomy).decode(hex(bytes))).toEqual([field])
  })

  test.each<[string, number, [string, Field[]][]]>([
    [
      'C.3 requests',
      4096,
      [
        ['8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d', first],
        ['8286 84be 5808 6e6f 2d63 6163 6865', second],
        ['8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65', third],
      ],
    ],
    [
      'C.4 requests, Huffman',
      4096,
      [
        ['8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff', first],
        ['8286 84be 5886 a8eb 1064 9cbf', second],
        ['8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf', third],
      ],
    ],
    [
      'C.5 responses, entries evicted',
      256,
      [
        [
          '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
          moved,
        ],
        ['4803 3330 37c1 c0bf', unchanged],
        [
          '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31',
          cookie,
        ],
      ],
    ],
    [
      'C.6 responses, Huffman, entries evicted',
      256,
      [
        [
          '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
          moved,
        ],
        ['4883 640e ffc1 c0bf', unchanged],
        [
          '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
          cookie,
        ],
      ],
    ],
  ])('%s', (_name, tableSize, blocks) => {
    const decoder = new HpackDecoder(roomy, tableSize)
    for (const [bytes, fields] of blocks) expect(decoder.decode(hex(bytes))).toEqual(fields)
  })
})

test('an entry costs its octets and 32 more, and what no longer fits is gone (RFC 7541, 4.1 and 4.4)', () => {
  const two = hex('400161 0162 400163 0164')
  expect(new HpackDecoder(roomy, 68).decode(Buffer.concat([two, hex('bf')]))?.at(-1)).toEqual(['a', 'b'])
  expect(() => new HpackDecoder(roomy, 67).decode(Buffer.concat([two, hex('bf')]))).toThrow('no table entry 63')
  expect(new HpackDecoder(roomy, 67).decode(Buffer.concat([two, hex('be')]))?.at(-1)).toEqual(['c', 'd'])
  // One that is larger than the table empties it.
  expect(() => new HpackDecoder(roomy, 33).decode(hex('400161 0162 be'))).toThrow('no table entry 62')
})

describe('integers: RFC 7541, C.1', () => {
  test('1337 with a prefix of five bits, as the size of a table', () => {
    expect(new HpackDecoder(roomy).decode(hex('3f9a0a'))).toEqual([])
    expect(() => new HpackDecoder(roomy, 1336).decode(hex('3f9a0a'))).toThrow('a table of 1337 octets, 1336 are allowed')
  })

  test('lengths are written with as many octets as they need', () => {
    for (const length of [0, 126, 127, 128, 254, 255, 256, 16_510, 16_511]) {
      const field: Field = ['x', 'v'.repeat(length)]
      expect(new HpackDecoder(roomy).decode(encodeHeaders([field]))).toEqual([field])
    }
    // 127 in a prefix of seven bits is the first that needs another octet.
    expect(encodeHeaders([['x', 'v'.repeat(126)]]).subarray(0, 4)).toEqual(hex('0001787e'))
    expect(encodeHeaders([['x', 'v'.repeat(127)]]).subarray(0, 5)).toEqual(hex('0001787f00'))
    expect(encodeHeaders([['x', 'v'.repeat(255)]]).subarray(0, 6)).toEqual(hex('0001787f8001'))
  })
})

describe('encoding', () => {
  test('the static table where it has it, literals without indexing elsewhere', () => {
    // Table A: entry 2 is `:method: GET`, 1 is `:authority`, 8 is `:status: 200`.
    expect(encodeHeaders([[':status', '200']])).toEqual(hex('88'))
    expect(
      encodeHeaders([
        [':method', 'CONNECT'],
        [':authority', 'a:1'],
        ['k', 'v'],
      ]),
    ).toEqual(hex('0207 434f4e4e454354 0103 613a31 00016b0176'))
  })

  test('a peer that shrank its table is told that ours is empty', () => {
    expect(encodeHeaders([[':status', '200']], true)).toEqual(hex('2088'))
  })
})

describe('what strangers may write', () => {
  test.each([
    ['an entry that is not there', 'be', 'there is no table entry 62'],
    ['entry 0', '80', 'there is no table entry 0'],
    ['a string that is longer than its block', '00056b', 'longer than its block'],
    ['no string', '00', 'ends too early'],
    ['an integer without end', 'ffffffffffffffff', 'too large'],
    ['a larger table than allowed', '3fe21f', 'a table of 4097 octets'],
    ['a table that changes in the middle', '8220', 'in the middle of a block'],
    ['EOS', '0084ffffffff00', 'contains EOS'],
    ['padding of zeros', '00811800', 'bad padding'],
    ['padding of a whole octet', '008207ff00', 'bad padding'],
  ])('%s is an error', (_name, bytes, message) => {
    expect(() => new HpackDecoder(roomy).decode(hex(bytes))).toThrow(message)
  })

  test('a list that is too long is not kept, but its table is', () => {
    const decoder = new HpackDecoder(100)
    expect(decoder.decode(Buffer.concat([hex('400161'), hex('0162'), Buffer.alloc(200, 0xbe)]))).toBeUndefined()
    expect(decoder.decode(hex('be'))).toEqual([['a', 'b']])
  })

  test('whatever the bytes: fields or an HpackError, and no more than the list may have', () => {
    let decoded = 0
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }), (blocks) => {
        const decoder = new HpackDecoder(200)
        for (const block of blocks) {
          try {
            const fields = decoder.decode(Buffer.from(block))
            if (!fields) continue
            decoded++
            expect(fields.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0)).toBeLessThanOrEqual(200)
          } catch (error) {
            expect(error).toBeInstanceOf(HpackError)
            return
          }
        }
      }),
    )
    expect(decoded).toBeGreaterThan(0)
  })

  test('every Huffman string is text or an HpackError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), (bytes) => {
        try {
          expect(huffmanDecode(Buffer.from(bytes)).length).toBeLessThanOrEqual((bytes.length * 8) / 5)
        } catch (error) {
          expect(error).toBeInstanceOf(HpackError)
        }
      }),
    )
  })

  const octets = fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b).toString('latin1'))
  test('what was encoded is decoded, whatever the octets', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(octets, octets), { maxLength: 8 }), fc.boolean(), (fields, shrunk) => {
        expect(new HpackDecoder(roomy).decode(encodeHeaders(fields, shrunk))).toEqual(fields)
      }),
    )
  })
})
