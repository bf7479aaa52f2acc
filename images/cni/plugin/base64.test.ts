import { expect, test } from 'vitest'
import { fromBase64, toBase64 } from './base64.ts'

// The vectors of RFC 4648, section 10.
test.each([
  ['', ''],
  ['f', 'Zg=='],
  ['fo', 'Zm8='],
  ['foo', 'Zm9v'],
  ['foob', 'Zm9vYg=='],
  ['fooba', 'Zm9vYmE='],
  ['foobar', 'Zm9vYmFy'],
])('%j is %j', (text, encoded) => {
  expect(toBase64(new TextEncoder().encode(text))).toBe(encoded)
  expect(fromBase64(encoded)).toBe(text)
})

test('every byte, and a file with lines', () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
  expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString('base64'))
  expect(fromBase64(toBase64(bytes))).toBe(String.fromCharCode(...bytes))
  expect(fromBase64('Zm9v\nYmFy\n')).toBe('foobar')
})
