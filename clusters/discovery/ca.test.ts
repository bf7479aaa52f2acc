import { createPublicKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { generateCa, issueLeaf, loadCa } from '../../images/lib/ca.ts'
import { resources } from '../lab/apiserver/store.ts'
import { type Program, published, startTestMesh, type TestMesh } from './testing.ts'
import { makeCsr, TestClient } from './testing-client.ts'

let mesh: TestMesh
let program: Program
let clients: TestClient[] = []
beforeAll(async () => {
  mesh = await startTestMesh()
  mesh.namespace('demo')
  for (const node of ['one', 'two']) mesh.pod(`ztunnel-${node}`, { namespace: 'istio-system', node, ip: '10.0.0.1', account: 'ztunnel' })
  mesh.pod('sleep', { namespace: 'demo', node: 'one', ip: '10.0.1.1' })
  mesh.pod('httpbin', { namespace: 'demo', node: 'two', ip: '10.0.2.1' })
  program = await mesh.start()
})
afterAll(() => mesh?.[Symbol.asyncDispose]())
afterEach(() => {
  for (const client of clients) client.close()
  clients = []
})

const uri = (account: string, namespace = 'demo') => `spiffe://cluster.local/ns/${namespace}/sa/${account}`
const zt = { name: 'ztunnel-one', namespace: 'istio-system', account: 'ztunnel' }

function connect(token = mesh.token(zt)): TestClient {
  const client = new TestClient(program.port, mesh.rootPem(), token)
  clients.push(client)
  return client
}

const ask = async (client: TestClient, identity: string | undefined, csrName = identity, seconds = 3600) => {
  const csr = await makeCsr(...(csrName ? [csrName] : []))
  const metadata = identity ? { ImpersonatedIdentity: identity } : {}
  const { certChain } = await client.sign({ csr: csr.pem, validityDuration: seconds, metadata })
  return { certChain, leaf: new X509Certificate(certChain[0] ?? ''), publicKey: csr.publicKey }
}

test("a node's proxy gets certificates for pods on its node: leaf, then root", async () => {
  const { certChain, leaf, publicKey } = await ask(connect(), uri('sleep'))
  expect(certChain).toHaveLength(2)
  expect(certChain[1]).toBe(mesh.rootPem())
  expect(leaf.subjectAltName).toBe(`URI:${uri('sleep')}`)
  expect(leaf.publicKey.export({ type: 'spki', format: 'pem' })).toBe(publicKey)
  expect(leaf.verify(createPublicKey(mesh.rootPem()))).toBe(true)
  expect(leaf.ca).toBe(false)
  expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
  expect((leaf.validToDate.getTime() - Date.now()) / 1000).toBeCloseTo(3600, -2)
})

test('a pod without rights to impersonate gets its own', async () => {
  const { leaf } = await ask(connect(mesh.token({ name: 'sleep', namespace: 'demo' })), undefined)
  expect(leaf.subjectAltName).toBe(`URI:${uri('sleep')}`)
})

test('who asks for no time gets a day, who asks for ever gets 90 days', async () => {
  const days = async (seconds: number) => {
    const { leaf } = await ask(connect(), uri('sleep'), undefined, seconds)
    return Math.round((leaf.validToDate.getTime() - Date.now()) / 86_400_000)
  }
  expect([await days(0), await days(-5), await days(10 ** 10)]).toEqual([1, 1, 90])
})

describe('refused', () => {
  const impersonation = /16 UNAUTHENTICATED: request impersonation authentication failure/
  test.each([
    ['a pod of another node', () => connect(), uri('httpbin'), /no pod of it runs on node one/],
    ['an account that nobody runs as', () => connect(), uri('nobody'), /no pod of it runs on node one/],
    ['another trust domain', () => connect(), 'spiffe://elsewhere/ns/demo/sa/sleep', /the trust domain is cluster.local/],
    ['what is no identity', () => connect(), 'sleep', /that is no SPIFFE identity/],
    [
      'for another, by a pod that is no proxy',
      () => connect(mesh.token({ name: 'sleep', namespace: 'demo' })),
      uri('sleep'),
      /not among CA_TRUSTED_NODE_ACCOUNTS/,
    ],
    [
      'with a token of no pod',
      () => connect(mesh.api.tokens.issue({ namespace: 'istio-system', name: 'ztunnel' }, { audiences: ['istio-ca'] }).token),
      uri('sleep'),
      /bound to no pod/,
    ],
  ])('%s: the caller is told little, the log why', async (_, client, identity, why) => {
    const from = program.lines.length
    await expect(ask(client(), identity)).rejects.toThrow(impersonation)
    await expect.poll(() => program.lines.slice(from).join('\n'), { interval: 5 }).toMatch(why)
  })

  test('a certificate without a token, or with a bad one', async () => {
    for (const token of ['', 'x.y.z', mesh.token(zt, 'api')])
      await expect(ask(connect(token), undefined)).rejects.toThrow(/16 UNAUTHENTICATED: request authenticate failure/)
  })

  test('a request that names somebody else', async () => {
    await expect(ask(connect(), uri('sleep'), uri('httpbin'))).rejects.toThrow(/3 INVALID_ARGUMENT: the request names "spiffe.*httpbin"/)
    await expect(connect().sign({ csr: 'x', metadata: { ImpersonatedIdentity: uri('sleep') } })).rejects.toThrow(/3 INVALID_ARGUMENT/)
  })

  test('a pod that has ended no longer counts', async () => {
    mesh.pod('job', { namespace: 'demo', node: 'one', ip: '10.0.1.9' })
    const client = connect()
    await expect.poll(() => ask(client, uri('job')).then(() => 'signed', String), { interval: 20 }).toBe('signed')
    mesh.api.store.patch(resources.pods, { namespace: 'demo', name: 'job' }, { status: { phase: 'Succeeded' } }, { subresource: 'status' })
    await expect.poll(() => ask(client, uri('job')).then(() => 'signed', String), { interval: 20 }).toMatch(impersonation)
  })
})

describe("the root's ConfigMap", () => {
  const ref = { name: 'istio-ca-root-cert', namespace: 'demo' }
  const text = () =>
    (mesh.api.store.find(resources.configmaps, ref) as { data?: Record<string, string> } | undefined)?.data?.['root-cert.pem']

  test('is in every namespace, also in a new one', async () => {
    mesh.namespace('new')
    await Promise.all(['demo', 'kube-system', 'new'].map((namespace) => published(mesh.api.store, namespace)))
  })

  test('comes back when it is changed or deleted', async () => {
    await published(mesh.api.store, 'demo')
    const root = mesh.rootPem()
    mesh.api.store.patch(resources.configmaps, ref, { data: { 'root-cert.pem': 'mine' } })
    await expect.poll(text, { interval: 10 }).toBe(root)
    mesh.api.store.delete(resources.configmaps, ref)
    await expect.poll(text, { interval: 10 }).toBe(root)
  })
})

test("what the CA did is counted under upstream's names", async () => {
  const read = async () => {
    const text = await (await fetch(`http://127.0.0.1:${program.metricsPort}/metrics`)).text()
    return Object.fromEntries([...text.matchAll(/^citadel_server_(\w+) (\S+)$/gm)].map(([, name, value]) => [name, Number(value)]))
  }
  const before = await read()
  await ask(connect(), uri('sleep'))
  await ask(connect(), uri('httpbin')).catch(() => {})
  await connect()
    .sign({ csr: 'x' })
    .catch(() => {})
  const after = await read()
  const names = ['csr_count', 'success_cert_issuance_count', 'authentication_failure_count', 'csr_sign_error_count']
  expect(names.map((name) => after[name]! - before[name]!)).toEqual([3, 1, 1, 1])
  expect(after.root_cert_expiry_timestamp).toBe(new X509Certificate(mesh.rootPem()).validToDate.getTime() / 1000)
})

test('the root is kept: in a Secret, as upstream names it', () => {
  const { data = {}, type } = mesh.api.store.get(resources.secrets, { namespace: 'istio-system', name: 'istio-ca-secret' }) as {
    data?: Record<string, string>
    type?: string
  }
  expect(type).toBe('istio.io/ca-root')
  const files = Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]))
  expect(loadCa(files as never).rootPem).toBe(mesh.rootPem())
})

test('the serving certificate is renewed while the program runs, and connections live on', async () => {
  const own = await mesh.start({ DEFAULT_WORKLOAD_CERT_TTL: '4s' })
  const client = new TestClient(own.port, mesh.rootPem(), mesh.token(zt))
  clients.push(client)
  const stream = client.open()
  stream.subscribe()
  await stream.begun()
  const made = () => own.lines.filter((line) => line.includes('serving certificate made')).length
  await expect.poll(made, { interval: 50, timeout: 10_000 }).toBeGreaterThan(1)
  const late = new TestClient(own.port, mesh.rootPem(), mesh.token(zt))
  clients.push(late)
  await ask(late, uri('sleep'))
  expect(stream.error).toBeUndefined()
  expect(await own.stop()).toBe(0)
})

test('a root of ours that will end is renewed with its key: what it signed stays good', async () => {
  const before = mesh.rootPem()
  await program.stop()
  const files = await generateCa({ validFor: 20_000 })
  const data = Object.fromEntries(Object.entries(files).map(([key, pem]) => [key, Buffer.from(pem).toString('base64')]))
  const ref = { namespace: 'istio-system', name: 'istio-ca-secret' }
  mesh.api.store.patch(resources.secrets, ref, { data })
  program = await mesh.start()
  await program.line(/the root certificate was renewed/)
  await expect.poll(() => mesh.rootPem(), { interval: 10 }).not.toBe(before)
  const root = new X509Certificate(mesh.rootPem())
  expect(root.validToDate.getTime()).toBeGreaterThan(Date.now() + 86_400_000)
  const { chainPem } = await issueLeaf(loadCa(files), { trustDomain: 't', namespace: 'n', serviceAccount: 's' }, 10_000)
  expect(new X509Certificate(chainPem).verify(root.publicKey)).toBe(true)
  const { leaf } = await ask(connect(), uri('sleep'))
  expect(leaf.verify(createPublicKey(files['root-cert.pem']))).toBe(true)
})

describe('a CA that is plugged in', () => {
  const secret = (files: object) => ({
    metadata: { name: 'cacerts', namespace: 'istio-system' },
    data: Object.fromEntries(Object.entries(files).map(([key, pem]) => [key, Buffer.from(pem as string).toString('base64')])),
  })

  test('signs instead of our own, with what lies between it and its root', async () => {
    await program.stop()
    const plugged = await intermediate()
    mesh.api.store.create(resources.secrets, secret(plugged) as never)
    program = await mesh.start()
    await expect.poll(() => mesh.rootPem(), { interval: 10 }).toBe(plugged['root-cert.pem'])
    const { certChain, leaf } = await ask(connect(), uri('sleep'))
    expect(certChain).toHaveLength(3)
    expect(certChain[2]).toBe(plugged['root-cert.pem'])
    expect(leaf.verify(createPublicKey(plugged['ca-cert.pem']))).toBe(true)
    expect(new X509Certificate(certChain[1] ?? '').verify(createPublicKey(plugged['root-cert.pem']))).toBe(true)
  })

  test('that is none ends the program with the Secret, the reason and the fix', async () => {
    await program.stop()
    const { 'ca-cert.pem': cert, 'root-cert.pem': root } = await generateCa()
    const { 'ca-key.pem': key } = await generateCa()
    mesh.api.store.update(resources.secrets, secret({ 'ca-cert.pem': cert, 'ca-key.pem': key, 'root-cert.pem': root }) as never)
    await expect(mesh.start()).rejects.toThrow(
      /Secret istio-system\/cacerts holds no CA: ca-key.pem is not the key of ca-cert.pem.*fix: mend it/,
    )
  })
})

/** An intermediate CA below a root of its own, as somebody would plug it in. */
async function intermediate() {
  const directory = mkdtempSync(join(tmpdir(), 'everyhop-ca-'))
  try {
    const $ = (...args: string[]) => execa('openssl', args, { cwd: directory })
    const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    writeFileSync(join(directory, 'ext'), 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n')
    await $('req', '-x509', ...ec, '-keyout', 'root.key', '-out', 'root.pem', '-subj', '/O=root', '-days', '10')
    await $('req', ...ec, '-keyout', 'ca.key', '-out', 'ca.csr', '-subj', '/O=between')
    await $(
      'x509',
      '-req',
      '-in',
      'ca.csr',
      '-CA',
      'root.pem',
      '-CAkey',
      'root.key',
      '-CAcreateserial',
      '-out',
      'ca.pem',
      '-days',
      '9',
      '-extfile',
      'ext',
    )
    const read = (name: string) => readFileSync(join(directory, name), 'utf8')
    const files = {
      'ca-cert.pem': read('ca.pem'),
      'ca-key.pem': read('ca.key'),
      'root-cert.pem': read('root.pem'),
      'cert-chain.pem': read('ca.pem'),
    }
    expect((await issueLeaf(loadCa(files), { trustDomain: 't', namespace: 'n', serviceAccount: 's' }, 1000)).chainPem).toContain('BEGIN')
    return files
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
