import { generateKeyPairSync, type KeyObject, randomBytes, randomUUID, sign, timingSafeEqual, verify } from 'node:crypto'
import { type FieldProblem, invalid, invalidValue, unsupportedValue } from './errors.ts'
import { type Ref, resources, type Store } from './store.ts'
import { timestamp } from './writes.ts'

/** Who a request comes from, as in TokenReview's status. */
export interface User {
  readonly username: string
  readonly uid?: string
  readonly groups: readonly string[]
  readonly extra?: Readonly<Record<string, readonly string[]>>
}

/** TokenRequest's spec (authentication.k8s.io/v1). */
export interface TokenSpec {
  /** @default the API server's own */
  readonly audiences?: readonly string[]
  /** @default 3600 */
  readonly expirationSeconds?: number
  /** The token is good only while this pod lives. */
  readonly boundObjectRef?: { readonly kind?: string; readonly apiVersion?: string; readonly name?: string; readonly uid?: string }
}

interface Claims {
  readonly iss: string
  readonly aud: readonly string[]
  readonly exp: number
  readonly iat: number
  readonly nbf: number
  readonly jti: string
  readonly sub: string
  readonly 'kubernetes.io': {
    readonly namespace: string
    readonly serviceaccount: { readonly name: string; readonly uid: string }
    readonly pod?: { readonly name: string; readonly uid: string }
    readonly node?: { readonly name: string; readonly uid?: string }
  }
}

export type Authentication = { readonly user: User; readonly audiences: readonly string[] } | { readonly error: string }

/** Issuer and API audience, as kubeadm sets it. */
export const issuer = 'https://kubernetes.default.svc.cluster.local'

/** Issues and checks the tokens of service accounts (JWT, ES256), and knows the administrator's. */
export class Tokens {
  readonly adminToken = randomBytes(32).toString('base64url')
  readonly #store: Store
  readonly #now: () => number
  readonly #keys: { publicKey: KeyObject; privateKey: KeyObject }

  /** @param now milliseconds since 1970 */
  constructor(store: Store, now: () => number = Date.now) {
    this.#store = store
    this.#now = now
    this.#keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  }

  /** A token for the service account. @throws ApiError 404 (no such account), 422 (spec) */
  issue(account: Ref, spec: TokenSpec = {}): { token: string; expirationTimestamp: string } {
    const { metadata } = this.#store.get(resources.serviceaccounts, account)
    const { expirationSeconds = 3600, boundObjectRef } = spec
    const problems: FieldProblem[] = []
    if (!Number.isInteger(expirationSeconds) || expirationSeconds < 600) {
      problems.push(invalidValue('spec.expirationSeconds', expirationSeconds, 'may not specify a duration less than 10 minutes'))
    } else if (expirationSeconds > 2 ** 32) {
      problems.push(invalidValue('spec.expirationSeconds', expirationSeconds, 'may not specify a duration larger than 2^32 seconds'))
    }
    if (boundObjectRef && boundObjectRef.kind !== 'Pod') {
      problems.push(unsupportedValue('spec.boundObjectRef.kind', boundObjectRef.kind, ['Pod']))
    }
    if (problems.length > 0) throw invalid({ kind: 'TokenRequest', group: 'authentication.k8s.io' }, account.name, problems)
    const now = Math.floor(this.#now() / 1000)
    const claims: Claims = {
      aud: spec.audiences?.length ? spec.audiences : [issuer],
      exp: now + expirationSeconds,
      iat: now,
      iss: issuer,
      jti: randomUUID(),
      'kubernetes.io': {
        namespace: metadata.namespace!,
        ...(boundObjectRef && this.#bind(account, boundObjectRef)),
        serviceaccount: { name: metadata.name, uid: metadata.uid! },
      },
      nbf: now,
      sub: `system:serviceaccount:${metadata.namespace}:${metadata.name}`,
    }
    return { token: this.#sign(claims), expirationTimestamp: timestamp(claims.exp * 1000) }
  }

  /** @param audiences one of them must be among the token's; empty: the API server's own */
  authenticate(token: string, audiences: readonly string[] = []): Authentication {
    const wanted = audiences.length > 0 ? audiences : [issuer]
    if (sameText(token, this.adminToken)) {
      return { user: { username: 'kubernetes-admin', groups: ['system:masters', 'system:authenticated'] }, audiences: wanted }
    }
    const claims = this.#read(token)
    if (!claims) return { error: 'invalid bearer token' }
    const now = this.#now() / 1000
    if (now >= claims.exp) return { error: 'service account token has expired' }
    if (now < claims.nbf) return { error: 'service account token is not valid yet' }
    const shared = wanted.filter((audience) => claims.aud.includes(audience))
    if (shared.length === 0) {
      return { error: `token audiences ${JSON.stringify(claims.aud)} is invalid for the target audiences ${JSON.stringify(wanted)}` }
    }
    const { namespace, serviceaccount, pod } = claims['kubernetes.io']
    const account = this.#store.find(resources.serviceaccounts, { namespace, name: serviceaccount.name })
    if (account?.metadata.uid !== serviceaccount.uid)
      return { error: `service account ${namespace}/${serviceaccount.name} has been deleted` }
    if (pod && this.#store.find(resources.pods, { namespace, name: pod.name })?.metadata.uid !== pod.uid) {
      return { error: `service account token has been invalidated: pod ${namespace}/${pod.name} is gone` }
    }
    return { user: userOf(claims), audiences: shared }
  }

  #bind({ namespace }: Ref, { name = '', uid }: NonNullable<TokenSpec['boundObjectRef']>) {
    const pod = this.#store.get(resources.pods, { name, namespace })
    if (uid && uid !== pod.metadata.uid) {
      const detail = `the UID in the bound object reference (${uid}) does not match the UID in record (${pod.metadata.uid})`
      throw invalid({ kind: 'TokenRequest', group: 'authentication.k8s.io' }, name, [invalidValue('spec.boundObjectRef.uid', uid, detail)])
    }
    const { nodeName } = pod.spec
    const node = nodeName ? this.#store.find(resources.nodes, { name: nodeName }) : undefined
    return {
      ...(nodeName && { node: { name: nodeName, ...(node && { uid: node.metadata.uid! }) } }),
      pod: { name, uid: pod.metadata.uid! },
    }
  }

  #sign(claims: Claims): string {
    const body = `${encode({ alg: 'ES256', typ: 'JWT' })}.${encode(claims)}`
    return `${body}.${sign('sha256', Buffer.from(body), { key: this.#keys.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }

  /** @returns undefined unless this server signed it */
  #read(token: string): Claims | undefined {
    const parts = token.split('.')
    if (parts.length !== 3) return undefined
    const [header, payload, signature] = parts as [string, string, string]
    const key = { key: this.#keys.publicKey, dsaEncoding: 'ieee-p1363' } as const
    if (!verify('sha256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url'))) return undefined
    return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Claims
  }
}

function userOf(claims: Claims): User {
  const { namespace, serviceaccount, pod, node } = claims['kubernetes.io']
  const extra = {
    'authentication.kubernetes.io/credential-id': [`JTI=${claims.jti}`],
    ...(node && { 'authentication.kubernetes.io/node-name': [node.name] }),
    ...(node?.uid && { 'authentication.kubernetes.io/node-uid': [node.uid] }),
    ...(pod && { 'authentication.kubernetes.io/pod-name': [pod.name], 'authentication.kubernetes.io/pod-uid': [pod.uid] }),
  }
  const groups = ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated']
  return { username: claims.sub, uid: serviceaccount.uid, groups, extra }
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
