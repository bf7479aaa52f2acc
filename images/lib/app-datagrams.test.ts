import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import dns from 'dns-packet'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { doRequest } from './app-client.ts'
import type { ClientRequest } from './app-protocol.ts'

let udp: Socket
let tcp: Server
let port: number
const asked: dns.DecodedPacket[] = []

/** Knows `here.test`; says that nothing else is there. */
function answer(message: Buffer): Buffer {
  const query = dns.decode(message)
  asked.push(query)
  const name = query.questions![0]!.name
  const known: dns.Answer[] = ['10.0.0.9', '10.0.0.10'].map((data) => ({ type: 'A', name, data }))
  const answers = name === 'here.test' ? known : []
  return dns.encode({ type: 'response', id: query.id!, flags: name === 'away.test' ? 3 : 0, questions: query.questions!, answers })
}

beforeAll(async () => {
  udp = createSocket('udp4')
  udp.on('message', (message, peer) => udp.send(answer(message), peer.port, peer.address))
  tcp = createServer((socket) => {
    // In two pieces: a stream is cut anywhere.
    socket.on('data', (chunk: Buffer) => {
      const reply = answer(chunk.subarray(2))
      const framed = Buffer.concat([Buffer.of(reply.length >> 8, reply.length & 255), reply])
      socket.write(framed.subarray(0, 5))
      setTimeout(() => socket.end(framed.subarray(5)), 10)
    })
  })
  tcp.listen(0, '127.0.0.1')
  await once(tcp, 'listening')
  port = (tcp.address() as { port: number }).port
  udp.bind(port, '127.0.0.1')
  await once(udp, 'listening')
})
afterAll(() => {
  udp.close()
  tcp.close()
})

const request = (name: string, transport: 'udp' | 'tcp', more: Partial<ClientRequest> = {}): ClientRequest => ({
  id: 'd',
  protocol: 'dns',
  host: '127.0.0.1',
  port,
  body: 'f00d'.repeat(8),
  timeoutMs: 2_000,
  question: { name, transport },
  ...more,
})

test.for(['udp', 'tcp'] as const)('over %s: who answered, with which addresses; the token went along', async (transport) => {
  const result = await doRequest(request('here.test', transport))
  expect(result).toMatchObject({
    ok: true,
    answer: { from: `127.0.0.1:${port}`, localPort: result.localPort, code: 'NOERROR', addresses: ['10.0.0.10', '10.0.0.9'] },
  })
  const query = asked.at(-1)!
  expect(query.questions).toMatchObject([{ name: 'here.test', type: 'A' }])
  const [opt] = query.additionals as unknown as { options: { code: number; data: Buffer }[] }[]
  expect(opt!.options.map((o) => [o.code, `${o.data}`])).toEqual([[65_001, 'f00d'.repeat(8)]])
})

test.for([
  ['a name that nobody knows', 'away.test', 'DNS_NXDOMAIN'],
  ['a name without an address', 'empty.test', 'DNS_NODATA'],
] as const)('%s is not ok, and the answer is told', async ([, name, code]) => {
  const result = await doRequest(request(name, 'udp'))
  expect(result).toMatchObject({ ok: false, error: { code, phase: 'request' }, answer: { from: `127.0.0.1:${port}`, addresses: [] } })
})

test('a server that does not answer: the port that was asked from is told all the same', async () => {
  const silent = createSocket('udp4').bind(0, '127.0.0.1')
  await once(silent, 'listening')
  const result = await doRequest(request('here.test', 'udp', { port: silent.address().port, timeoutMs: 100 }))
  silent.close()
  expect(result).toMatchObject({ ok: false, error: { code: 'ETIMEDOUT' }, localPort: expect.any(Number) })
})
