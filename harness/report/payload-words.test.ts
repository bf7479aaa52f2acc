import { expect, test } from 'vitest'
import { payloadWords } from './payload-words.ts'

const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex')
const text = (t: string) => Buffer.from(t)

test.each([
  ['nothing', bytes(''), ''],
  ['a TLS ClientHello', bytes('16 0301 0004 01000000'), 'TLS ClientHello, 9 B'],
  [
    'several records',
    bytes('16 0303 0001 02 14 0303 0001 01 17 0303 0002 aabb'),
    'TLS ServerHello, change cipher spec, application data, 19 B',
  ],
  ['records of one kind', bytes('17 0303 0001 aa 17 0303 0001 bb'), 'TLS application data, 12 B'],
  ['a record that goes on in the next packet', bytes('17 0303 4000 aabb'), 'TLS application data, 7 B'],
  ['an HTTP/1 request', text('POST /anything HTTP/1.1\r\nhost: x\r\n\r\n'), 'POST /anything HTTP/1.1'],
  ['an HTTP/1 answer', text('HTTP/1.1 200 OK\r\n\r\n'), 'HTTP/1.1 200 OK'],
  ['HTTP/2', text('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), 'HTTP/2 connection preface'],
  ['readable text', text('56b2ae31db3c37d5999fc989d1e3188f'), 'text “56b2ae31db3c37d5…”, 32 B'],
  ['other bytes', bytes('00 01 02'), '3 B'],
])('%s is told in words', (_, payload, words) => {
  expect(payloadWords(payload, payload.length)).toBe(words)
})

test('a payload that was not captured is told by its length', () => {
  expect(payloadWords(bytes(''), 1460)).toBe('1460 B')
})
