import type { Certificate } from '../../images/lib/app-protocol.ts'
import { type Ca, type CaFiles, generateCa, issueLeaf, loadCa } from '../../images/lib/ca.ts'
import { parseIdentity } from '../../images/lib/identity.ts'

const lifetime = 3_600_000

/** Certificates for peers that are not the mesh's: signed by the mesh's own CA, or by one that nobody knows. All trust the mesh's root. */
export class Certificates {
  readonly #read: () => Promise<CaFiles>
  #mesh: Promise<Ca> | undefined
  #foreign: Promise<Ca> | undefined

  /** @param mesh reads the mesh's CA; asked when the first certificate is wanted */
  constructor(mesh: () => Promise<CaFiles>) {
    this.#read = mesh
  }

  /** @param identity as a SPIFFE URI @throws Error when there is no CA, or the identity is none */
  async issue(identity: string, signer: 'mesh' | 'foreign'): Promise<Certificate> {
    const parsed = parseIdentity(identity)
    if (!parsed) throw new Error(`${JSON.stringify(identity)} is no SPIFFE identity of the form spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT`)
    this.#mesh ??= this.#read().then(loadCa)
    this.#foreign ??= generateCa({ commonName: 'elsewhere.example' }).then(loadCa)
    const [mesh, foreign] = await Promise.all([this.#mesh, this.#foreign])
    const { chainPem, keyPem } = await issueLeaf(signer === 'mesh' ? mesh : foreign, parsed, lifetime)
    return { chainPem, keyPem, rootPem: mesh.rootPem }
  }
}
