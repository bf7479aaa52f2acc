import { createServer, connect as dial, type Server, type Socket } from 'node:net'
import * as tls from 'node:tls'
import { afterEach, beforeAll, expect, test, vi } from 'vitest'
import { type Ca, generateCa, issueLeaf, type Leaf, loadCa } from './ca.ts'
import type { Identity } from './identity.ts'
import { acceptMtls, connectMtls, mtlsContext } from './mtls.ts'

const id = (serviceAccount: string, trustDomain = 'cluster.local'): Identity => ({ trustDomain, namespace: 'demo', serviceAccount })
const server = 'spiffe://cluster.local/ns/demo/sa/server'
const hour = 3_600_000

let ca: Ca
let serverLeaf: Leaf
let clientLeaf: Leaf
let foreign: Leaf
let foreignDomain: Leaf

beforeAll(async () => {
  ca = loadCa(await generateCa())
  const other = loadCa(await generateCa())
  serverLeaf = await issueLeaf(ca, id('server'), hour)
  clientLeaf = await issueLeaf(ca, id('client'), hour)
  foreign = await issueLeaf(other, id('client'), hour)
  foreignDomain = await issueLeaf(ca, id('client', 'elsewhere.org'), hour)
})

const open = new Set<{ destroy(): void } | Server>()
afterEach(() => {
  for (const what of open) 'destroy' in what ? what.destroy() : what.close()
  open.clear()
})

/** Raw connection pairs on loopback. */
async function pair(): Promise<{ accepted: Promise<Socket>; dialled: Socket }> {
  const accepted = Promise.withResolvers<Socket>()
  const listener = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => {})
    accepted.resolve(socket)
  })
  open.add(listener)
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const dialled = dial((listener.address() as { port: number }).port, '127.0.0.1')
  open.add(dialled)
  dialled.on('error', () => {})
  await new Promise((resolve) => dialled.once('connect', resolve))
  return { accepted: accepted.promise, dialled }
}

/** Both ends of one handshake: what the server says, and what the client says. */
async function handshake(options: { client?: Leaf; clientRoot?: string; serverLeaf?: Leaf; expected?: string[] }) {
  const { accepted, dialled } = await pair()
  const client = options.client ?? clientLeaf
  const roots = options.clientRoot ?? ca.certificatePem
  const [served, connected] = await Promise.allSettled([
    accepted.then((raw) => acceptMtls(raw, mtlsContext(options.serverLeaf ?? serverLeaf), 'cluster.local', 2000)),
    connectMtls(dialled, mtlsContext({ ...client, rootPem: roots }), options.expected ?? [server], 2000),
  ])
  return { served, connected }
}

test('two workloads of one mesh know each other', async () => {
  const { served, connected } = await handshake({})
  expect(served).toMatchObject({ status: 'fulfilled', value: { peer: id('client') } })
  expect(connected).toMatchObject({ status: 'fulfilled', value: { peer: id('server') } })
  const { socket } = (served as PromiseFulfilledResult<{ socket: tls.TLSSocket }>).value
  expect(socket.getProtocol()).toBe('TLSv1.3')
  expect(socket.alpnProtocol).toBe('h2')
  expect((socket as { servername?: unknown }).servername).toBe(false)
})

test('a client that spoke before the server had its certificate is served', async () => {
  const { accepted, dialled } = await pair()
  const connecting = connectMtls(dialled, mtlsContext(clientLeaf), [server], 2000)
  const raw = await accepted
  await vi.waitFor(() => expect(raw.bytesRead).toBeGreaterThan(0), 10_000)
  await expect(acceptMtls(raw, mtlsContext(serverLeaf), 'cluster.local', 2000)).resolves.toMatchObject({ peer: id('client') })
  await connecting
})

test('the server refuses a client certificate of a foreign CA, and none of its bytes get through', async () => {
  const { accepted, dialled } = await pair()
  // A client that does not care about our certificate and sends at once.
  const rogue = tls.connect({
    socket: dialled,
    secureContext: mtlsContext(foreign),
    ALPNProtocols: ['h2'],
    servername: '',
    rejectUnauthorized: false,
  })
  rogue.on('error', () => {})
  rogue.once('secureConnect', () => rogue.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))
  const raw = await accepted
  await expect(acceptMtls(raw, mtlsContext(serverLeaf), 'cluster.local', 2000)).rejects.toThrow(
    /^tls error: client certificate refused: (SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE)$/,
  )
  expect(raw.destroyed).toBe(true)
})

test('the server refuses an identity of a foreign trust domain although our CA signed it', async () => {
  const { served } = await handshake({ client: foreignDomain })
  expect(served).toMatchObject({
    status: 'rejected',
    reason: { message: 'identity error: spiffe://elsewhere.org/ns/demo/sa/client is not of the trust domain cluster.local' },
  })
})

test('the server refuses a client without a certificate', async () => {
  const { accepted, dialled } = await pair()
  const context = tls.createSecureContext({ ca: ca.certificatePem, minVersion: 'TLSv1.3' })
  tls
    .connect({ socket: dialled, secureContext: context, ALPNProtocols: ['h2'], servername: '', rejectUnauthorized: false })
    .on('error', () => {})
  await expect(accepted.then((raw) => acceptMtls(raw, mtlsContext(serverLeaf), 'cluster.local', 2000))).rejects.toThrow(/tls error: .*/)
})

test('the server refuses an expired client certificate', async () => {
  const { served } = await handshake({ client: await issueLeaf(ca, id('client'), -60_000) })
  expect(served).toMatchObject({ status: 'rejected', reason: { message: 'tls error: client certificate refused: CERT_HAS_EXPIRED' } })
})

test('the server refuses a client that does not choose h2', async () => {
  const { accepted, dialled } = await pair()
  tls.connect({ socket: dialled, secureContext: mtlsContext(clientLeaf), servername: '', rejectUnauthorized: false }).on('error', () => {})
  await expect(accepted.then((raw) => acceptMtls(raw, mtlsContext(serverLeaf), 'cluster.local', 2000))).rejects.toThrow(
    'did not choose ALPN h2',
  )
})

test('TLS 1.2 is refused', async () => {
  const { accepted, dialled } = await pair()
  tls
    .connect({ socket: dialled, ...pems(clientLeaf), maxVersion: 'TLSv1.2', servername: '', rejectUnauthorized: false })
    .on('error', () => {})
  await expect(accepted.then((raw) => acceptMtls(raw, mtlsContext(serverLeaf), 'cluster.local', 2000))).rejects.toThrow(/tls error/)
})

test('the client refuses a server with another identity, also one from the same CA', async () => {
  const { connected } = await handshake({ expected: ['spiffe://cluster.local/ns/demo/sa/other'] })
  expect(connected).toMatchObject({
    status: 'rejected',
    reason: { message: `identity error: the server is ${server}, expected spiffe://cluster.local/ns/demo/sa/other` },
  })
})

test('the client refuses a server of a foreign CA', async () => {
  const { connected } = await handshake({ serverLeaf: foreign, expected: ['spiffe://cluster.local/ns/demo/sa/client'] })
  expect(connected).toMatchObject({ status: 'rejected', reason: { message: expect.stringMatching(/^tls error: /) } })
})

test('a peer that says nothing, or nonsense, or leaves, ends the handshake', async () => {
  const silent = await pair()
  await expect(silent.accepted.then((raw) => acceptMtls(raw, mtlsContext(serverLeaf), 'cluster.local', 50))).rejects.toThrow(
    'tls error: no handshake within 50 ms',
  )
  const noise = await pair()
  noise.dialled.write(Buffer.alloc(64, 0xff))
  await expect(noise.accepted.then((raw) => acceptMtls(raw, mtlsContext(serverLeaf), 'cluster.local', 2000))).rejects.toThrow(/tls error/)
  const gone = await pair()
  const handshaking = gone.accepted.then((raw) => acceptMtls(raw, mtlsContext(serverLeaf), 'cluster.local', 2000))
  gone.dialled.destroy()
  await expect(handshaking).rejects.toThrow(/tls error/)
})

function pems(leaf: Leaf) {
  return { cert: leaf.chainPem, key: leaf.keyPem, ca: leaf.rootPem }
}
