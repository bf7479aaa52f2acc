import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { doRequest } from '../lib/app-client.ts'
import type { ClientRequest } from '../lib/app-protocol.ts'
import { type Ca, generateCa, issueLeaf, loadCa } from '../lib/ca.ts'
import { tcpEcho } from './echo.ts'
import { HboneListener } from './hbone.ts'
import { Ports } from './ports.ts'

const hour = 3_600_000
const identity = (serviceAccount: string, trustDomain = 'cluster.local') => ({ trustDomain, namespace: 'demo', serviceAccount })
const server = 'spiffe://cluster.local/ns/demo/sa/server'
let ca: Ca
let other: Ca
let listener: HboneListener
const web = createServer(async (request, response) => response.end(Buffer.concat(await request.toArray())))
const echo = tcpEcho()
const portOf = (s: { address(): unknown }) => (s.address() as AddressInfo).port

beforeAll(async () => {
  ca = loadCa(await generateCa())
  other = loadCa(await generateCa())
  for (const s of [web, echo]) await once(s.listen(0, '127.0.0.1'), 'listening')
  listener = await HboneListener.open(0, await issueLeaf(ca, identity('server'), hour))
})
afterAll(async () => {
  await listener.close()
  web.close()
  echo.close()
})

async function request(protocol: 'http' | 'tcp', more: { port?: number; signer?: Ca; trustDomain?: string; server?: string } = {}) {
  const certificate = await issueLeaf(more.signer ?? ca, identity('client', more.trustDomain), hour)
  const asked: ClientRequest = {
    id: 'a',
    protocol,
    host: '10.0.0.9',
    port: portOf(protocol === 'http' ? web : echo),
    body: 'through the tunnel',
    timeoutMs: 5_000,
    tunnel: {
      endpoint: `127.0.0.1:${more.port ?? listener.port}`,
      server: more.server ?? server,
      certificate: { ...certificate, rootPem: ca.rootPem },
    },
  }
  return doRequest(asked)
}

test.for(['http', 'tcp'] as const)('%s goes through a tunnel to the port that the CONNECT names', async (protocol) => {
  const result = await request(protocol)
  expect(result).toMatchObject({ ok: true, body: 'through the tunnel', remotePort: listener.port })
})

const strangers: [what: string, more: () => Parameters<typeof request>[1]][] = [
  ['a certificate of another CA', () => ({ signer: other })],
  ['one of another trust domain', () => ({ trustDomain: 'elsewhere.example' })],
]
test.for(strangers)('a client with %s is closed on without an answer', async ([, more]) => {
  expect(await request('http', more())).toMatchObject({ ok: false, error: { phase: 'tunnel', code: 'EHBONE' } })
})

test('a server that is not who it should be is not spoken to', async () => {
  const result = await request('http', { server: 'spiffe://cluster.local/ns/demo/sa/expected' })
  expect(result.error).toMatchObject({ code: 'ETLS', phase: 'tunnel', message: expect.stringContaining(`the server is ${server}`) })
})

test('by command: a certificate replaces the one before it and ends its connections; closed, nobody listens', async () => {
  const ports = new Ports()
  const command = async (more: object) => JSON.parse(JSON.stringify(await ports.answer(JSON.stringify({ id: 'c', ...more }))))
  const { ok, port } = await command({ action: 'hbone', port: 0, certificate: await issueLeaf(ca, identity('first'), hour) })
  expect(ok).toBe(true)
  const idle = connect(port, '127.0.0.1')
  await once(idle, 'connect')
  const ended = once(idle, 'close')
  expect(await command({ action: 'hbone', port, certificate: await issueLeaf(ca, identity('server'), hour) })).toEqual({
    id: 'c',
    ok: true,
    port,
  })
  await ended
  expect(await request('http', { port })).toMatchObject({ ok: true })
  expect(await command({ action: 'close', port })).toEqual({ id: 'c', ok: true })
  expect(await request('http', { port })).toMatchObject({ error: { code: 'ECONNREFUSED' } })
  expect(await command({ action: 'hbone', port: -1 })).toMatchObject({
    ok: false,
    error: 'port must be a whole number from 0 to 65535, is -1',
  })
  expect(await command({ action: 'hbone', port: 1 })).toMatchObject({ ok: false, error: expect.stringContaining('certificate must have') })
})
