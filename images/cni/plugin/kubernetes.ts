import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { overTls } from './http.ts'
import { isObject } from './protocol.ts'

/** How to reach the API server, from a kubeconfig. */
export interface Access {
  readonly server: string
  /** PEM. */
  readonly ca: string | undefined
  readonly token: string
}

/** Reads the parts of a kubeconfig that the agent writes: one cluster with inline CA, one user with a token. @throws Error naming file and field */
export async function readKubeconfig(path: string): Promise<Access> {
  const text = readFileSync(path, 'utf8')
  let config: unknown
  try {
    config = JSON.parse(text)
  } catch {
    // YAML is loaded only for files that another agent wrote: it costs start-up time.
    config = (await import('yaml')).parse(text)
  }
  const entry = (list: string, key: string) => {
    const items = isObject(config) ? config[list] : undefined
    const first = Array.isArray(items) ? items[0] : undefined
    const value = isObject(first) ? first[key] : undefined
    if (!isObject(value)) throw new Error(`kubeconfig ${path}: ${list}[0].${key} is missing`)
    return value
  }
  const cluster = entry('clusters', 'cluster')
  const user = entry('users', 'user')
  const { server, 'certificate-authority-data': ca } = cluster
  const { token } = user
  if (typeof server !== 'string') throw new Error(`kubeconfig ${path}: clusters[0].cluster.server is missing`)
  if (typeof token !== 'string') throw new Error(`kubeconfig ${path}: users[0].user.token is missing`)
  return { server, token, ca: typeof ca === 'string' ? Buffer.from(ca, 'base64').toString() : undefined }
}

/** A pod as far as the plugin looks. */
export interface PodFacts {
  readonly labels: Record<string, string>
  readonly annotations: Record<string, string>
  readonly hostNetwork: boolean
  readonly containers: readonly { readonly name: string; readonly args: readonly string[] }[]
  readonly namespaceLabels: Record<string, string>
}

/**
 * GETs pod and namespace.
 * @param attempts how often to try, one second apart where there are many, else at once
 */
export async function fetchPod(access: Access, namespace: string, name: string, attempts: number): Promise<PodFacts> {
  const pod = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`
  const ns = `/api/v1/namespaces/${encodeURIComponent(namespace)}`
  for (let attempt = 1; ; attempt++) {
    try {
      const [p, n] = await Promise.all([get(access, pod), get(access, ns)])
      return facts(p, n)
    } catch (error) {
      if (attempt >= attempts) throw error
      if (attempts > 2) await delay(1000)
    }
  }
}

async function get(access: Access, path: string): Promise<Record<string, unknown>> {
  const where = `GET ${access.server}${path}`
  const headers = { authorization: `Bearer ${access.token}`, accept: 'application/json' }
  const answer = await overTls(access.server, access.ca, { method: 'GET', path, headers, timeoutMs: 5000 }).catch((error: Error) => {
    throw new Error(`${where}: ${error.message}`, { cause: error })
  })
  if (answer.status !== 200) throw new Error(`${where}: status ${answer.status}: ${answer.body.slice(0, 200)}`)
  const object: unknown = JSON.parse(answer.body)
  if (!isObject(object)) throw new Error(`${where}: the answer is no object`)
  return object
}

function facts(pod: Record<string, unknown>, namespace: Record<string, unknown>): PodFacts {
  const metadata = isObject(pod.metadata) ? pod.metadata : {}
  const spec = isObject(pod.spec) ? pod.spec : {}
  const nsMetadata = isObject(namespace.metadata) ? namespace.metadata : {}
  const containers = Array.isArray(spec.containers) ? spec.containers.filter(isObject) : []
  return {
    labels: (metadata.labels ?? {}) as Record<string, string>,
    annotations: (metadata.annotations ?? {}) as Record<string, string>,
    hostNetwork: spec.hostNetwork === true,
    containers: containers.map((c) => ({ name: String(c.name), args: Array.isArray(c.args) ? c.args.map(String) : [] })),
    namespaceLabels: (nsMetadata.labels ?? {}) as Record<string, string>,
  }
}
