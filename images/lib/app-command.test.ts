import { expect, test } from 'vitest'
import { parseCommand } from './app-command.ts'

const good = { id: 'a', protocol: 'http', host: '10.0.0.1', port: 80, body: 'x', timeoutMs: 100 }

test('a request comes through as it is', () => {
  expect(parseCommand(JSON.stringify(good))).toEqual({ request: good })
})

test.for([
  ['', '', /not JSON/],
  ['{"id":"a"', '', /not JSON/],
  ['null', '', /not a JSON object/],
  ['[1]', '', /not a JSON object/],
  [JSON.stringify({ ...good, id: undefined }), '', /id must be/],
  [JSON.stringify({ ...good, id: 7 }), '', /id must be/],
  [JSON.stringify({ ...good, protocol: 'sctp' }), 'a', /protocol must be one of http, http2, tcp, udp, dns, is "sctp"/],
  [JSON.stringify({ ...good, host: '' }), 'a', /host must be/],
  [JSON.stringify({ ...good, port: 0 }), 'a', /port must be/],
  [JSON.stringify({ ...good, port: '80' }), 'a', /port must be .* is "80"/],
  [JSON.stringify({ ...good, body: null }), 'a', /body must be/],
  [JSON.stringify({ ...good, timeoutMs: 0.5 }), 'a', /timeoutMs must be/],
  [JSON.stringify({ ...good, tunnel: { endpoint: '10.0.0.1:15008', server: 'x' } }), 'a', /tunnel must have .* a certificate of/],
  [JSON.stringify({ id: 'a', protocol: 1, port: 1.5 }), 'a', /protocol .*; host .*; port .*; body .*; timeoutMs/],
] as const)('%s is refused with its id and what is wrong', ([line, id, problem]) => {
  expect(parseCommand(line)).toEqual({ id, problem: expect.stringMatching(problem) })
})
