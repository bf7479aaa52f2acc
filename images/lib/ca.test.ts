import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { generateCa, issueLeaf, loadCa } from './ca.ts'
import { certificateIdentity } from './identity.ts'

const sleep = { trustDomain: 'cluster.local', namespace: 'demo', serviceAccount: 'sleep' }
const hour = 3_600_000

test('a generated CA loads, and its leaf chains, names one identity, has its key and ends when told', async () => {
  const files = await generateCa()
  const ca = loadCa(files)
  const leaf = await issueLeaf(ca, sleep, hour)
  const certificate = new X509Certificate(leaf.chainPem)
  expect(certificate.verify(new X509Certificate(files['root-cert.pem']).publicKey)).toBe(true)
  expect(certificate.checkIssued(ca.certificate)).toBe(true)
  expect(certificate.checkPrivateKey(createPrivateKey(leaf.keyPem))).toBe(true)
  expect(certificate.subjectAltName).toBe('URI:spiffe://cluster.local/ns/demo/sa/sleep')
  expect(certificateIdentity({ subjectaltname: certificate.subjectAltName })).toEqual(sleep)
  expect(certificate.ca).toBe(false)
  expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
  expect(Math.abs(certificate.validToDate.getTime() - Date.now() - hour)).toBeLessThan(5000)
  expect(certificate.validFromDate.getTime()).toBeLessThan(Date.now() - 100_000)
})

test('a leaf never outlives its CA', async () => {
  const ca = loadCa(await generateCa({ validFor: hour }))
  const leaf = await issueLeaf(ca, sleep, 24 * hour)
  expect(leaf.notAfter.getTime()).toBeLessThanOrEqual(ca.certificate.validToDate.getTime())
})

test('files that do not belong together are refused by name', async () => {
  const [one, two] = [await generateCa(), await generateCa()]
  expect(() => loadCa({ ...one, 'ca-key.pem': two['ca-key.pem'] })).toThrow('ca-key.pem is not the key of ca-cert.pem')
  expect(() => loadCa({ ...one, 'root-cert.pem': two['root-cert.pem'] })).toThrow('ca-cert.pem is not signed by root-cert.pem')
  expect(() => loadCa({ ...one, 'ca-cert.pem': 'nonsense' })).toThrow('ca-cert.pem is not readable as PEM')
  const leaf = await issueLeaf(loadCa(one), sleep, hour)
  expect(() => loadCa({ 'ca-cert.pem': leaf.chainPem, 'ca-key.pem': leaf.keyPem, 'root-cert.pem': one['root-cert.pem'] })).toThrow(
    'not a CA certificate',
  )
})

test('an RSA CA, as upstream makes it, signs too', async () => {
  const { X509CertificateGenerator, BasicConstraintsExtension } = await (await import('./ca.ts')).x509()
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
  const root = await X509CertificateGenerator.createSelfSigned({
    name: 'O=old',
    signingAlgorithm: algorithm,
    keys: {
      publicKey: keys.publicKey.toCryptoKey(algorithm, true, ['verify']),
      privateKey: keys.privateKey.toCryptoKey(algorithm, true, ['sign']),
    },
    extensions: [new BasicConstraintsExtension(true, undefined, true)],
  })
  const pem = root.toString('pem')
  const ca = loadCa({
    'ca-cert.pem': pem,
    'root-cert.pem': pem,
    'ca-key.pem': keys.privateKey.export({ type: 'pkcs1', format: 'pem' }) as string,
  })
  expect(new X509Certificate((await issueLeaf(ca, sleep, hour)).chainPem).verify(new X509Certificate(pem).publicKey)).toBe(true)
})
