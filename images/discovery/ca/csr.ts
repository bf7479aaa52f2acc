import { createPublicKey, type KeyObject } from 'node:crypto'
import { x509 } from '../../lib/ca.ts'
import { formatIdentity, type Identity } from '../../lib/identity.ts'

/** A certificate signing request that is not signed; the message may be told to the caller. */
export class CsrError extends Error {
  override name = 'CsrError'
}

/** A request with an RSA key of 4096 bits has less than 3 KiB. */
const maxBytes = 16 * 1024
const extensionRequest = '1.2.840.113549.1.9.14'
const subjectAltName = '2.5.29.17'

/**
 * Checks a signing request (PKCS #10, PEM) and gives the key that is to be certified. Only the key is taken from it: subject and extensions are not copied.
 * The key is EC P-256 or P-384, or RSA of 2048 to 4096 bits; the request is signed with it, by SHA-256 or longer; it names nobody but `identity`, or nobody.
 * @throws CsrError
 */
export async function readCsr(pem: string, identity: Identity): Promise<KeyObject> {
  const der = derOf(pem)
  const lib = await x509()
  try {
    const csr = new lib.Pkcs10CertificateRequest(der)
    const key = acceptableKey(csr.publicKey.rawData)
    const { hash } = csr.signatureAlgorithm as { hash?: { name?: string } }
    if (!['SHA-256', 'SHA-384', 'SHA-512'].includes(hash?.name ?? ''))
      throw new CsrError('the request is signed by a weak or unknown algorithm')
    if (!(await csr.verify())) throw new CsrError('the request is not signed by the key that it holds')
    const requests = csr.attributes.filter((a) => a.type === extensionRequest)
    if (requests.length > 1) throw new CsrError('the request asks for extensions more than once')
    const names = csr.extensions.filter((e) => e.type === subjectAltName)
    if (names.length > 1) throw new CsrError('the request has more than one list of names')
    if (names[0]) onlyName(new lib.SubjectAlternativeNameExtension(names[0].rawData).names.toJSON(), identity)
    return key
  } catch (error) {
    if (error instanceof CsrError) throw error
    throw new CsrError(`the request is not readable: ${(error as Error).message}`, { cause: error })
  }
}

/** The one block of a PEM text, whole and with nothing behind it. */
function derOf(pem: string): Buffer {
  if (pem.length > 2 * maxBytes) throw new CsrError(`the request is longer than ${2 * maxBytes} characters`)
  const found = /^\s*-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END (?:NEW )?CERTIFICATE REQUEST-----\s*$/.exec(
    pem,
  )
  if (!found) throw new CsrError('the request is not one CERTIFICATE REQUEST in PEM')
  const der = Buffer.from(found[1]!, 'base64')
  // An outer SEQUENCE whose length (long form, two bytes, or short forms) is that of the whole.
  const header = der[1]! < 0x80 ? 2 : 2 + (der[1]! & 0x7f)
  const length = header === 2 ? der[1]! : header <= 4 ? der.readUIntBE(2, Math.min(header - 2, der.length - 2)) : -1
  if (der[0] !== 0x30 || der.length !== header + length || der.length > maxBytes)
    throw new CsrError('the request is cut, too long, or followed by other bytes')
  return der
}

function acceptableKey(spki: ArrayBuffer): KeyObject {
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  const { namedCurve = '', modulusLength = 0 } = details ?? {}
  if (type === 'ec' && (namedCurve === 'prime256v1' || namedCurve === 'secp384r1')) return key
  if (type === 'rsa' && modulusLength >= 2048 && modulusLength <= 4096) return key
  throw new CsrError(`the key is ${type} ${namedCurve || modulusLength || ''}: use EC P-256 or P-384, or RSA of 2048 to 4096 bits`)
}

function onlyName(names: readonly { readonly type: string; readonly value: string }[], identity: Identity): void {
  const expected = formatIdentity(identity)
  const [name, ...more] = names
  if (!name || more.length > 0) throw new CsrError(`the request has ${names.length} names: one is expected`)
  if (name.type !== 'url' || name.value !== expected)
    throw new CsrError(`the request names ${JSON.stringify(name.value).slice(0, 300)}, the certificate is for ${expected}`)
}
