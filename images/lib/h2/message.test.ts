import { expect, test } from 'vitest'
import type { Field } from './hpack-decoder.ts'
import { requestHeaders, responseHeaders, wellFormedTrailers } from './message.ts'

const connect: Field[] = [
  [':method', 'CONNECT'],
  [':authority', '10.0.0.1:80'],
]

test('a CONNECT with its fields; several of one name are joined', () => {
  expect(requestHeaders([...connect, ['baggage', 'a=b'], ['baggage', 'c=d'], ['te', 'trailers']])).toEqual({
    ':method': 'CONNECT',
    ':authority': '10.0.0.1:80',
    baggage: 'a=b, c=d',
    te: 'trailers',
  })
})

test('another method is a request, too', () => {
  expect(
    requestHeaders([
      [':method', 'GET'],
      [':scheme', 'https'],
      [':path', '/'],
    ]),
  ).toMatchObject({ ':method': 'GET' })
})

// RFC 9113, 8.2.1, 8.2.2, 8.3, 8.3.1 and 8.5.
test.each<[string, Field[]]>([
  ['no method', [[':authority', 'a:1']]],
  ['CONNECT without authority', [[':method', 'CONNECT']]],
  ['CONNECT with a path', [...connect, [':path', '/']]],
  ['CONNECT with a scheme', [...connect, [':scheme', 'https']]],
  [
    'GET without a path',
    [
      [':method', 'GET'],
      [':scheme', 'https'],
    ],
  ],
  ['a method twice', [[':method', 'CONNECT'], ...connect]],
  ['a pseudo field of responses', [...connect, [':status', '200']]],
  ['a pseudo field that nobody knows', [...connect, [':protocol', 'x']]],
  [
    'a pseudo field after an ordinary one',
    [
      [':method', 'CONNECT'],
      ['a', 'b'],
      [':authority', 'a:1'],
    ],
  ],
  ['upper case', [...connect, ['Baggage', 'x']]],
  ['no name', [...connect, ['', 'x']]],
  ['a name with a blank', [...connect, ['a b', 'x']]],
  ['a value with a line end', [...connect, ['a', 'b\r\nc: d']]],
  ['a value with a zero', [...connect, ['a', '\0']]],
  ['a value that begins with a blank', [...connect, ['a', ' b']]],
  ['connection', [...connect, ['connection', 'close']]],
  ['te: gzip', [...connect, ['te', 'gzip']]],
])('malformed: %s', (_name, fields) => {
  expect(requestHeaders(fields)).toBeUndefined()
})

test('no field becomes a property of every object', () => {
  expect(Object.keys(requestHeaders([...connect, ['__proto__', 'x']])!)).toContain('__proto__')
  expect(requestHeaders([...connect, ['constructor', 'x']])).toMatchObject({ constructor: 'x' })
})

test.each<[Field[], boolean]>([
  [[[':status', '200']], true],
  [
    [
      [':status', '200'],
      ['baggage', 'x'],
    ],
    true,
  ],
  [[[':status', '42']], false],
  [[[':status', 'ok']], false],
  [[['baggage', 'x']], false],
  [
    [
      [':status', '200'],
      [':method', 'GET'],
    ],
    false,
  ],
])('a response %j is well-formed: %s', (fields, expected) => {
  expect(responseHeaders(fields) !== undefined).toBe(expected)
})

test('trailers have no pseudo fields', () => {
  expect(wellFormedTrailers([['a', 'b']])).toBe(true)
  expect(wellFormedTrailers([[':status', '200']])).toBe(false)
})
