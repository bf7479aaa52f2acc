import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type CaFiles, generateCa, x509 } from '../../lib/ca.ts'
import type { Identity } from '../../lib/identity.ts'
import { mtlsContext } from '../../lib/mtls.ts'
import type { IstioCertificateRequest } from '../../lib/xds/messages.ts'
import { ControlPlane, signed } from '../testbed/control-plane.ts'
import { CaClient } from './ca-client.ts'
import { controlPlaneSettings } from './settings.ts'

const sleep: Identity = { trustDomain: 'cluster.local', namespace: 'demo', serviceAccount: 'sleep' }
const uri = 'spiffe://cluster.local/ns/demo/sa/sleep'
let files: CaFiles
let other: CaFiles
beforeAll(async () => {
  files = await generateCa()
  other = await generateCa()
})

let dir: string
let plane: ControlPlane
const clients: CaClient[] = []
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'everyhop-ca-'))
  plane = new ControlPlane(files, dir)
  await plane.start()
})
afterEach(() => {
  for (const client of clients.splice(0)) client.close()
  plane.stop()
  rmSync(dir, { recursive: true })
})

function connect(): CaClient {
  const { ca, tokenPath } = controlPlaneSettings(plane.env, [])
  const client = new CaClient({ server: ca!, tokenPath, clusterId: 'east', ttl: 86_400_000 })
  clients.push(client)
  return client
}

test('it asks with a P-256 key and the identity as the one name, for whom it asks is told beside, and who it is', async () => {
  let asked: IstioCertificateRequest | undefined
  let shown: Record<string, unknown> = {}
  const sign = plane.sign
  plane.sign = (request, metadata) => {
    asked = request
    shown = metadata.getMap()
    return sign(request, metadata)
  }
  const leaf = await connect().issue(sleep)
  expect({ ...asked!.metadata }).toEqual({ ImpersonatedIdentity: uri })
  expect(asked!.validityDuration).toBe(86_400)
  expect(shown).toMatchObject({ authorization: 'Bearer token-1', clusterid: 'east' })
  const lib = await x509()
  const csr = new lib.Pkcs10CertificateRequest(asked!.csr)
  expect(await csr.verify()).toBe(true)
  expect(csr.subject).toBe('')
  expect(csr.publicKey.algorithm).toMatchObject({ name: 'ECDSA', namedCurve: 'P-256' })
  expect((csr.getExtension('2.5.29.17') as InstanceType<typeof lib.SubjectAlternativeNameExtension>).names.toJSON()).toEqual([
    { type: 'url', value: uri },
  ])
  expect(new X509Certificate(leaf.chainPem).subjectAltName).toBe(`URI:${uri}`)
  expect(leaf).toMatchObject({ identity: sleep, rootPem: files['root-cert.pem'] })
  expect(() => mtlsContext(leaf)).not.toThrow()
})

test('a chain over an intermediate is sent whole, and the last text may hold several roots', async () => {
  const intermediate = await signed(files, { ca: true })
  const middle = { 'ca-cert.pem': intermediate.certificatePem, 'ca-key.pem': intermediate.keyPem, 'root-cert.pem': files['root-cert.pem'] }
  const roots = other['root-cert.pem'] + files['root-cert.pem']
  plane.sign = async ({ csr }) => [(await signed(middle, { publicKeyPem: csr, uri })).certificatePem, intermediate.certificatePem, roots]
  const leaf = await connect().issue(sleep)
  expect(leaf.chainPem.match(/BEGIN/g)).toHaveLength(2)
  expect(leaf.rootPem).toBe(roots)
})

const answer = (csr: string, options: Parameters<typeof signed>[1] = {}, by = files) =>
  signed(by, { publicKeyPem: csr, uri, ...options }).then((s) => s.certificatePem)

test.each([
  ['nothing', async () => [], /the CA sent 0 certificates for .*, expected a leaf and its roots at least/],
  ['the leaf alone', async (csr: string) => [await answer(csr)], /the CA sent 1 certificates/],
  [
    'another identity',
    async (csr: string) => [await answer(csr, { uri: `${uri}2` }), files['root-cert.pem']],
    /the CA signed .*sleep2 when asked for .*sleep$/,
  ],
  ['no name', async (csr: string) => [await answer(csr, { uri: '' }), files['root-cert.pem']], /the CA signed no URI name/],
  ['a CA certificate', async (csr: string) => [await answer(csr, { ca: true }), files['root-cert.pem']], /a CA certificate/],
  ['another key', async () => [(await signed(files, { uri })).certificatePem, files['root-cert.pem']], /the CA signed another key/],
  ['a certificate that has ended', async (csr: string) => [await answer(csr, { ttl: -1000 }), files['root-cert.pem']], /that ended at/],
  [
    'a root that did not sign it',
    async (csr: string) => [await answer(csr), other['root-cert.pem']],
    /does not end at a root that the CA sent/,
  ],
  [
    'a middle that did not sign it',
    async (csr: string) => [await answer(csr), other['root-cert.pem'], other['root-cert.pem']],
    /is not signed by the one after it/,
  ],
  ['nonsense', async () => ['x', 'y'], /certificate 1 of 2 that is no PEM certificate/],
])('an answer with %s is refused', async (_name, sign, error) => {
  plane.sign = ({ csr }) => sign(csr)
  await expect(connect().issue(sleep)).rejects.toThrow(error)
})

test('the server’s refusal is told, and the connection serves the next request', async () => {
  const client = connect()
  const sign = plane.sign
  plane.sign = () => Promise.reject(new Error('no pod of demo/sleep on the node of the caller'))
  await expect(client.issue(sleep)).rejects.toThrow('PERMISSION_DENIED: no pod of demo/sleep on the node of the caller')
  plane.sign = sign
  expect((await client.issue(sleep)).identity).toEqual(sleep)
})

test('fifty identities at once each get their own', async () => {
  const client = connect()
  const identities = Array.from({ length: 50 }, (_, i) => ({ ...sleep, serviceAccount: `sa-${i}` }))
  const leaves = await Promise.all(identities.map((identity) => client.issue(identity)))
  expect(leaves.map((leaf) => new X509Certificate(leaf.chainPem).subjectAltName)).toEqual(
    identities.map(({ serviceAccount }) => `URI:spiffe://cluster.local/ns/demo/sa/${serviceAccount}`),
  )
})

test('a CA that is away is told, and found again when it is back', async () => {
  const client = connect()
  await client.issue(sleep)
  plane.stop()
  await expect(client.issue(sleep)).rejects.toThrow('UNAVAILABLE')
  await plane.start()
  expect((await client.issue(sleep)).identity).toEqual(sleep)
})

test('roots that cannot be read are named, and read again for the next request', async () => {
  const { rename } = await import('node:fs/promises')
  const client = connect()
  await rename(join(dir, 'root-cert.pem'), join(dir, 'away'))
  await expect(client.issue(sleep)).rejects.toThrow(/root-cert\.pem cannot be read: ENOENT/)
  await rename(join(dir, 'away'), join(dir, 'root-cert.pem'))
  expect((await client.issue(sleep)).identity).toEqual(sleep)
})
