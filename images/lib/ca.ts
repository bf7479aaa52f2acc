import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  X509Certificate as NodeCertificate,
  randomBytes,
  webcrypto,
} from 'node:crypto'
import { formatIdentity, type Identity } from './identity.ts'

/** A CA as PEM texts, under the key names of upstream's `cacerts` Secret. */
export interface CaFiles {
  readonly 'ca-cert.pem': string
  readonly 'ca-key.pem': string
  /** One or more. */
  readonly 'root-cert.pem': string
  /** What lies between an intermediate CA and its root. */
  readonly 'cert-chain.pem'?: string
}

/** A CA that can sign. Made by `loadCa`. */
export interface Ca {
  readonly certificate: NodeCertificate
  readonly certificatePem: string
  readonly key: KeyObject
  readonly rootPem: string
  /** What a peer needs between a leaf and the root: nothing, if the CA is itself a root. */
  readonly intermediatesPem: string
}

/** A leaf with its key; `chainPem` is what a TLS peer sends: leaf first, then the intermediate if the CA isn't itself a root. */
export interface Leaf {
  readonly identity: Identity
  readonly chainPem: string
  readonly keyPem: string
  readonly rootPem: string
  readonly notBefore: Date
  readonly notAfter: Date
}

const minute = 60_000
const curve = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/** The X.509 library takes 120 ms to load: whoever only reads certificates does not pay for it. Call this early to have it at hand. */
export async function x509() {
  await import('reflect-metadata')
  const library = await import('@peculiar/x509')
  library.cryptoProvider.set(webcrypto as never)
  return library
}

/**
 * A fresh self-signed root.
 * @param validFor milliseconds; default ten years, as upstream's self-signed CA
 * @param key of a root that is to be renewed: what it signed stays good (P-256); default a new one
 */
export async function generateCa(options: { commonName?: string; validFor?: number; key?: KeyObject } = {}): Promise<CaFiles> {
  const lib = await x509()
  const { key } = options
  const keys = key ? { privateKey: key, publicKey: createPublicKey(key) } : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const now = Date.now()
  const certificate = await lib.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `O=${options.commonName ?? 'cluster.local'}`,
    notBefore: new Date(now - 2 * minute),
    notAfter: new Date(now + (options.validFor ?? 3650 * 24 * 60 * minute)),
    signingAlgorithm: curve,
    keys: { publicKey: cryptoKey(keys.publicKey, ['verify']), privateKey: cryptoKey(keys.privateKey, ['sign']) },
    extensions: [
      new lib.BasicConstraintsExtension(true, undefined, true),
      new lib.KeyUsagesExtension(lib.KeyUsageFlags.keyCertSign | lib.KeyUsageFlags.cRLSign, true),
      await lib.SubjectKeyIdentifierExtension.create(cryptoKey(keys.publicKey, ['verify'])),
    ],
  })
  const pem = `${certificate.toString('pem')}\n`
  return { 'ca-cert.pem': pem, 'ca-key.pem': keys.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, 'root-cert.pem': pem }
}

/**
 * Reads and checks the PEM texts of a CA: EC P-256/P-384 or RSA key, key and certificate belong together, certificate may sign and chains to the root.
 * Throws an Error that names the file and the fix.
 */
export function loadCa(files: CaFiles): Ca {
  const certificate = read('ca-cert.pem', () => new NodeCertificate(files['ca-cert.pem']))
  const roots = read('root-cert.pem', () => certificatesIn(files['root-cert.pem']))
  const between = read('cert-chain.pem', () => (files['cert-chain.pem'] ? certificatesIn(files['cert-chain.pem']) : []))
  const key = read('ca-key.pem', () => createPrivateKey(files['ca-key.pem']))
  if (!certificate.checkPrivateKey(key)) throw new Error('ca-key.pem is not the key of ca-cert.pem: take both from one CA')
  if (!certificate.ca) throw new Error('ca-cert.pem is not a CA certificate (basicConstraints CA is not set)')
  const intermediates = chainToRoot(certificate, between, roots)
  if (certificate.validToDate.getTime() < Date.now()) throw new Error(`ca-cert.pem expired at ${certificate.validTo}`)
  signingAlgorithm(key)
  const intermediatesPem = intermediates.map((c) => c.toString()).join('')
  return { certificate, certificatePem: files['ca-cert.pem'], key, rootPem: files['root-cert.pem'], intermediatesPem }
}

/** The PEM texts of all certificates in a text. */
export function splitPem(text: string): string[] {
  return [...text.matchAll(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g)].map(([pem]) => `${pem}\n`)
}

function certificatesIn(text: string): NodeCertificate[] {
  const found = splitPem(text).map((pem) => new NodeCertificate(pem))
  if (found.length === 0) throw new Error('there is no certificate in it')
  return found
}

/** From the CA's certificate up to the last one that a root signed; none, if it is a root. */
function chainToRoot(
  certificate: NodeCertificate,
  between: readonly NodeCertificate[],
  roots: readonly NodeCertificate[],
): NodeCertificate[] {
  if (roots.some((root) => root.raw.equals(certificate.raw))) return []
  const chain = [certificate]
  for (let last = certificate; !roots.some((root) => last.verify(root.publicKey)); ) {
    const next = between.find((c) => !chain.some((known) => known.raw.equals(c.raw)) && last.verify(c.publicKey))
    if (!next)
      throw new Error(
        'ca-cert.pem is not signed by root-cert.pem, directly or through cert-chain.pem: put the root that signed it, or what is between, there',
      )
    chain.push(next)
    last = next
  }
  return chain
}

function read<T>(file: keyof CaFiles, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw new Error(`${file} is not readable as PEM: ${(error as Error).message}`)
  }
}

/**
 * A P-256 leaf with one URI name, for server and client use, as upstream's CA makes it (valid from two minutes ago; subject empty, so the name is critical).
 * @param ttl milliseconds from now; cut at the CA's own end
 */
export async function issueLeaf(ca: Ca, identity: Identity, ttl: number): Promise<Leaf> {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signed = await signLeaf(ca, { publicKey: keys.publicKey, names: [{ type: 'url', value: formatIdentity(identity) }], ttl })
  return { identity, ...signed, keyPem: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, rootPem: ca.rootPem }
}

export interface LeafRequest {
  /** Of whoever will hold the certificate. */
  readonly publicKey: KeyObject
  /** All of its names: SPIFFE URIs, or DNS names of a server. */
  readonly names: readonly { readonly type: 'url' | 'dns'; readonly value: string }[]
  /** Milliseconds from now; cut at the CA's own end. */
  readonly ttl: number
}

/** A leaf for a key that is somebody else's, in the same form. */
export async function signLeaf(ca: Ca, { publicKey, names, ttl }: LeafRequest): Promise<Pick<Leaf, 'chainPem' | 'notBefore' | 'notAfter'>> {
  const lib = await x509()
  const notBefore = new Date(Date.now() - 2 * minute)
  const notAfter = new Date(Math.min(Date.now() + ttl, ca.certificate.validToDate.getTime()))
  const issuer = new lib.X509Certificate(ca.certificatePem)
  const leaf = await lib.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    issuer: issuer.subject,
    notBefore,
    notAfter,
    publicKey: cryptoKey(publicKey, ['verify']),
    signingKey: cryptoKey(ca.key, ['sign']),
    signingAlgorithm: signingAlgorithm(ca.key),
    extensions: [
      new lib.BasicConstraintsExtension(false, undefined, true),
      new lib.KeyUsagesExtension(lib.KeyUsageFlags.digitalSignature | lib.KeyUsageFlags.keyEncipherment, true),
      new lib.ExtendedKeyUsageExtension([lib.ExtendedKeyUsage.serverAuth, lib.ExtendedKeyUsage.clientAuth]),
      new lib.SubjectAlternativeNameExtension([...names], true),
      await lib.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  })
  return { chainPem: `${leaf.toString('pem')}\n${ca.intermediatesPem}`, notBefore, notAfter }
}

/** 16 random bytes as hex, positive (RFC 5280 4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16)
  bytes[0] = (bytes[0]! & 0x7f) | 0x40
  return bytes.toString('hex')
}

type SigningAlgorithm = { readonly name: string; readonly namedCurve?: string; readonly hash: string }

function signingAlgorithm(key: KeyObject): SigningAlgorithm {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return curve
  if (type === 'ec' && details?.namedCurve === 'secp384r1') return { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' }
  if (type === 'rsa') return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
  throw new Error(`ca-key.pem is a ${type} key${details?.namedCurve ? ` on ${details.namedCurve}` : ''}: use EC P-256, EC P-384 or RSA`)
}

function cryptoKey(key: KeyObject, usages: ('sign' | 'verify')[]) {
  return key.toCryptoKey(signingAlgorithm(key) as Parameters<KeyObject['toCryptoKey']>[0], true, usages)
}
