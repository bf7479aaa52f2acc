/** A workload's SPIFFE identity, `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`. */
export interface Identity {
  readonly trustDomain: string
  readonly namespace: string
  readonly serviceAccount: string
}

export const defaultTrustDomain = 'cluster.local'

const form = /^spiffe:\/\/([a-z0-9._-]{1,255})\/ns\/([A-Za-z0-9._-]{1,253})\/sa\/([A-Za-z0-9._-]{1,253})$/

/** The URI form that certificates and logs carry. */
export function formatIdentity(identity: Identity): string {
  return `spiffe://${identity.trustDomain}/ns/${identity.namespace}/sa/${identity.serviceAccount}`
}

/** Reads the URI form; undefined for anything else. */
export function parseIdentity(uri: string): Identity | undefined {
  const found = form.exec(uri)
  return found ? { trustDomain: found[1]!, namespace: found[2]!, serviceAccount: found[3]! } : undefined
}

/** The form that policies compare with: without `spiffe://`. */
export function principal(identity: Identity): string {
  return formatIdentity(identity).slice('spiffe://'.length)
}

/**
 * The URI names in Node's `subjectaltname` text (`URI:a, DNS:b`). Entries that hold a comma, a quote or a control character are
 * JSON strings there, so that no entry can pretend to be two.
 */
export function uriNames(subjectAltName: string | undefined): string[] {
  const names: string[] = []
  const entry = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)/gy
  for (let m = entry.exec(subjectAltName ?? ''); m; m = entry.exec(subjectAltName ?? '')) {
    if (m[1] === 'URI') names.push(m[2]!.startsWith('"') ? (JSON.parse(m[2]!) as string) : m[2]!)
  }
  return names
}

/** The one identity of a certificate (a SPIFFE X.509-SVID has exactly one URI name); undefined if it has none, several, or another kind of URI. */
export function certificateIdentity(certificate: { subjectaltname?: string | undefined }): Identity | undefined {
  const names = uriNames(certificate.subjectaltname)
  return names.length === 1 ? parseIdentity(names[0]!) : undefined
}
