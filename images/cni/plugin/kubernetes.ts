import { fromBase64 } from './base64.ts'
import type { Platform } from './platform.ts'
import { isObject } from './protocol.ts'

/** How to reach the API server, from a kubeconfig. */
export interface Access {
  /** `https://HOST:PORT`. */
  readonly server: string
  readonly host: string
  readonly port: string
  /** PEM. */
  readonly ca: string | undefined
  readonly token: string
}

/** Reads the parts of a kubeconfig that the agent writes: one cluster with inline CA, one user with a token. @throws Error naming file and field */
export async function readKubeconfig(platform: Platform, path: string): Promise<Access> {
  const text = platform.read(path)
  let config: unknown
  try {
    config = JSON.parse(text)
  } catch {
    // Only another agent writes YAML.
    config = await platform.parseYaml(text)
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
  // Not by URL: not every engine has it.
  const [, bare, bracketed, port = '443'] = /^https:\/\/(?:([^/:[\]]+)|\[([^/[\]]+)\])(?::(\d+))?\/?$/.exec(server) ?? []
  const host = bare ?? bracketed
  if (!host) throw new Error(`kubeconfig ${path}: the server is ${server}: expected https://HOST:PORT`)
  return { server, host, port, token, ca: typeof ca === 'string' ? fromBase64(ca) : undefined }
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
export async function fetchPod(platform: Platform, access: Access, namespace: string, name: string, attempts: number): Promise<PodFacts> {
  const pod = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`
  const ns = `/api/v1/namespaces/${encodeURIComponent(namespace)}`
  for (let attempt = 1; ; attempt++) {
    try {
      const [p, n] = await Promise.all([get(platform, access, pod), get(platform, access, ns)])
      return facts(p, n)
    } catch (error) {
      if (attempt >= attempts) throw error
      if (attempts > 2) await platform.pause(1000)
    }
  }
}

async function get(platform: Platform, access: Access, path: string): Promise<Record<string, unknown>> {
  const where = `GET ${access.server}${path}`
  const headers = { authorization: `Bearer ${access.token}`, accept: 'application/json' }
  const call = { method: 'GET', path, headers, timeoutMs: 5000 } as const
  const answer = await platform.overTls(access.host, access.port, access.ca, call).catch((error: Error) => {
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
