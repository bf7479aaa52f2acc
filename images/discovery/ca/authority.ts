import { createPrivateKey } from 'node:crypto'
import { type Ca, type CaFiles, generateCa, loadCa } from '../../lib/ca.ts'
import { ApiError, type KubeClient } from '../kubernetes/client.ts'
import type { Log } from '../log.ts'

/** Secret with a CA that somebody plugged in; if there is none, ours is in the other. Names and keys as upstream. */
export const pluggedInSecret = 'cacerts'
export const ownSecret = 'istio-ca-secret'

interface Secret {
  metadata: { resourceVersion?: string }
  data?: Record<string, string>
}

export interface AuthorityOptions {
  readonly client: KubeClient
  /** The mesh's own namespace. */
  readonly namespace: string
  readonly trustDomain: string
  /** How long a root of ours is good, milliseconds. */
  readonly rootTtl: number
  readonly log: Log
}

/** A root is renewed when less than this part of its life is left, as upstream does. */
const grace = 0.2

/**
 * The mesh's CA: the plugged-in one, or our own, made when there is none. Our own is renewed before it ends, with the same key, so that what it signed
 * stays good.
 * @throws Error that names the Secret, what is wrong with it and the fix
 */
export async function openAuthority(o: AuthorityOptions): Promise<Ca> {
  const plugged = await read(o, pluggedInSecret)
  if (plugged) {
    o.log.info('the CA is the plugged-in one', { secret: `${o.namespace}/${pluggedInSecret}` })
    return load(o, pluggedInSecret, plugged)
  }
  for (;;) {
    const found = await read(o, ownSecret)
    const ca = found && load(o, ownSecret, found)
    if (ca && !isEnding(ca)) return ca
    const files = await generateCa({ commonName: o.trustDomain, validFor: o.rootTtl, ...(ca ? { key: ca.key } : {}) })
    if (await write(o, files, found)) {
      o.log.info(ca ? 'the root certificate was renewed' : 'a root certificate was made', { secret: `${o.namespace}/${ownSecret}` })
      return loadCa(files)
    }
    // Another control plane wrote it first: what it wrote counts.
  }
}

/** Does a root of ours need to be renewed? */
export function isEnding({ certificate }: Ca, now = Date.now()): boolean {
  const [from, to] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()]
  return to - now < grace * (to - from)
}

function load(o: AuthorityOptions, name: string, { data = {} }: Secret): Ca {
  const text = (key: string) => Buffer.from(data[key] ?? '', 'base64').toString()
  const files: CaFiles = {
    'ca-cert.pem': text('ca-cert.pem'),
    'ca-key.pem': text('ca-key.pem'),
    // A CA of its own is its own root.
    'root-cert.pem': text('root-cert.pem') || text('ca-cert.pem'),
    'cert-chain.pem': text('cert-chain.pem'),
  }
  try {
    createPrivateKey(files['ca-key.pem'])
    return loadCa(files)
  } catch (error) {
    throw new Error(
      `Secret ${o.namespace}/${name} holds no CA: ${(error as Error).message}; fix: mend it, or delete it and restart istiod`,
      {
        cause: error,
      },
    )
  }
}

async function read(o: AuthorityOptions, name: string): Promise<Secret | undefined> {
  try {
    return await o.client.json<Secret>('GET', `/api/v1/namespaces/${o.namespace}/secrets/${name}`)
  } catch (error) {
    if (error instanceof ApiError && error.code === 404) return undefined
    throw error
  }
}

/** @returns whether it was written; false when somebody else was first */
async function write(o: AuthorityOptions, files: CaFiles, before: Secret | undefined): Promise<boolean> {
  const data = Object.fromEntries(Object.entries(files).map(([key, pem]) => [key, Buffer.from(pem).toString('base64')]))
  const { resourceVersion } = before?.metadata ?? {}
  const metadata = { name: ownSecret, namespace: o.namespace, ...(resourceVersion ? { resourceVersion } : {}) }
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata, type: 'istio.io/ca-root', data }
  const collection = `/api/v1/namespaces/${o.namespace}/secrets`
  try {
    await (before ? o.client.json('PUT', `${collection}/${ownSecret}`, secret) : o.client.json('POST', collection, secret))
    return true
  } catch (error) {
    if (error instanceof ApiError && error.code === 409) return false
    throw error
  }
}
