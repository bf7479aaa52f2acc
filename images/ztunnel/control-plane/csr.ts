import { generateKeyPair } from 'node:crypto'
import { promisify } from 'node:util'
import { x509 } from '../../lib/ca.ts'
import { formatIdentity, type Identity } from '../../lib/identity.ts'

const curve = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const generate = promisify(generateKeyPair)

/** A fresh P-256 key and a request for its certification: the identity as its one URI name, no subject (fact sheet: in-pod mode, 5.5). */
export async function certificateRequest(identity: Identity): Promise<{ csrPem: string; keyPem: string }> {
  const [lib, { publicKey, privateKey }] = await Promise.all([x509(), generate('ec', { namedCurve: 'P-256' })])
  const csr = await lib.Pkcs10CertificateRequestGenerator.create({
    name: '',
    keys: {
      publicKey: publicKey.toCryptoKey(curve, true, ['verify']),
      privateKey: privateKey.toCryptoKey(curve, true, ['sign']),
    },
    signingAlgorithm: curve,
    extensions: [new lib.SubjectAlternativeNameExtension([{ type: 'url', value: formatIdentity(identity) }], true)],
  })
  return { csrPem: `${csr.toString('pem')}\n`, keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string }
}
