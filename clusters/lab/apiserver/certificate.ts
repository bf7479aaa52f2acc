import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { type CaFiles, loadCa, x509 } from '../../../images/lib/ca.ts'

const minute = 60_000
const year = 365 * 24 * 60 * minute

/** A serving certificate (P-256, one year) for these DNS names and IP addresses. @returns PEM texts */
export async function serverCertificate(files: CaFiles, names: readonly string[]): Promise<{ cert: string; key: string }> {
  const lib = await x509()
  const ca = loadCa(files)
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const curve = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const issuer = new lib.X509Certificate(ca.certificatePem)
  const certificate = await lib.X509CertificateGenerator.create({
    serialNumber: `40${randomBytes(15).toString('hex')}`,
    subject: 'CN=kube-apiserver',
    issuer: issuer.subject,
    notBefore: new Date(Date.now() - 2 * minute),
    notAfter: new Date(Date.now() + year),
    publicKey: keys.publicKey.toCryptoKey(curve, true, ['verify']),
    signingKey: ca.key.toCryptoKey(curve, true, ['sign']),
    signingAlgorithm: curve,
    extensions: [
      new lib.BasicConstraintsExtension(false, undefined, true),
      new lib.KeyUsagesExtension(lib.KeyUsageFlags.digitalSignature | lib.KeyUsageFlags.keyEncipherment, true),
      new lib.ExtendedKeyUsageExtension([lib.ExtendedKeyUsage.serverAuth]),
      new lib.SubjectAlternativeNameExtension([...new Set(names)].map((value) => ({ type: isIP(value) ? 'ip' : 'dns', value }))),
      await lib.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  })
  const cert = new X509Certificate(Buffer.from(certificate.rawData)).toString()
  return { cert: `${cert.trimEnd()}\n`, key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string }
}

/** Names that clients in the cluster know the API server by (kubeadm's certSANs). */
export const clusterNames = [
  'kubernetes',
  'kubernetes.default',
  'kubernetes.default.svc',
  'kubernetes.default.svc.cluster.local',
  'localhost',
  '127.0.0.1',
  '::1',
]
