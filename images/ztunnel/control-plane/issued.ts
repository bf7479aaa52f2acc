import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { Leaf } from '../../lib/ca.ts'
import { formatIdentity, type Identity, uriNames } from '../../lib/identity.ts'

const blocks = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g

/**
 * A CA's answer, checked: the leaf is for our key and this identity alone, it is valid now, and each certificate is signed by the next up to a self-signed root.
 * @param chain leaf first; each text one certificate but the last, which may hold several roots
 * @throws Error saying what is wrong
 */
export function checkedLeaf(identity: Identity, keyPem: string, chain: readonly string[]): Leaf {
  const name = formatIdentity(identity)
  if (chain.length < 2) throw new Error(`the CA sent ${chain.length} certificates for ${name}, expected a leaf and its roots at least`)
  const rootPem = chain.at(-1)!
  const own = chain.slice(0, -1).map((pem, i) => parse(pem, `certificate ${i + 1} of ${chain.length}`))
  const roots = (rootPem.match(blocks) ?? []).map((pem) => parse(pem, 'root'))
  if (roots.length === 0) throw new Error(`the CA sent no root certificate for ${name}`)
  const leaf = own[0]!
  const names = uriNames(leaf.subjectAltName)
  if (names.length !== 1 || names[0] !== name) throw new Error(`the CA signed ${names.join(', ') || 'no URI name'} when asked for ${name}`)
  if (leaf.ca) throw new Error(`the CA sent a CA certificate when asked for ${name}`)
  if (!leaf.checkPrivateKey(createPrivateKey(keyPem))) throw new Error(`the CA signed another key when asked for ${name}`)
  const now = Date.now()
  if (leaf.validToDate.getTime() <= now) throw new Error(`the CA sent a certificate for ${name} that ended at ${leaf.validTo}`)
  own.slice(1).forEach((issuer, i) => {
    if (!issuer.ca || !own[i]!.verify(issuer.publicKey))
      throw new Error(`certificate ${i + 1} of the chain for ${name} is not signed by the one after it`)
  })
  const top = own.at(-1)!
  if (!roots.some((root) => root.ca && top.verify(root.publicKey)))
    throw new Error(`the chain for ${name} does not end at a root that the CA sent`)
  return {
    identity,
    chainPem: own.map((certificate) => certificate.toString()).join(''),
    keyPem,
    rootPem,
    notBefore: leaf.validFromDate,
    notAfter: leaf.validToDate,
  }
}

function parse(pem: string, what: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (error) {
    throw new Error(`the CA sent a ${what} that is no PEM certificate: ${(error as Error).message}`)
  }
}
