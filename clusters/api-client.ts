import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { createInterface } from 'node:readline'
import { parse } from 'yaml'
import type { KubernetesObject } from './kubernetes.ts'

/** Where a cluster's API is and who asks. */
export interface ApiAccess {
  /** Such as `https://127.0.0.1:6443`. */
  readonly server: string
  readonly ca?: string
  readonly token?: string
  readonly cert?: string
  readonly key?: string
}

/** What the API server said no to. */
export class ApiFailure extends Error {
  override name = 'ApiFailure'
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

/** An object that could not be applied or deleted: which, and the API server's reason. */
export class ApplyError extends Error {
  override name = 'ApplyError'
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'
  readonly object: KubernetesObject
}

/** The access that a kubeconfig's current context gives (token or client certificate). @throws Error that names file and lack */
export function accessOf(kubeconfig: string): ApiAccess {
  interface Named {
    name: string
    cluster?: Record<string, string>
    context?: Record<string, string>
    user?: Record<string, string>
  }
  const config = parse(readFileSync(kubeconfig, 'utf8')) as Record<string, Named[]> & { 'current-context'?: string }
  const named = (list: string, name: string | undefined) => {
    const found = config[list]?.find((entry) => entry.name === name)
    if (!found)
      throw new Error(`${kubeconfig}: no entry ${JSON.stringify(name)} in ${list}; fix: choose a context with kubectl config use-context`)
    return found
  }
  const context = named('contexts', config['current-context']).context ?? {}
  const cluster = named('clusters', context.cluster).cluster ?? {}
  const user = named('users', context.user).user ?? {}
  const pem = (from: Record<string, string>, key: string) => {
    const [data, file] = [from[`${key}-data`], from[key]]
    return data ? Buffer.from(data, 'base64').toString() : file ? readFileSync(file, 'utf8') : undefined
  }
  const access = {
    server: cluster.server ?? '',
    ca: pem(cluster, 'certificate-authority'),
    token: user.token,
    cert: pem(user, 'client-certificate'),
    key: pem(user, 'client-key'),
  }
  return Object.fromEntries(Object.entries(access).filter(([, value]) => value !== undefined)) as unknown as ApiAccess
}

interface Discovered {
  name: string
  kind: string
  namespaced: boolean
}

/** A small client of a Kubernetes API, for what installing needs: any kind by its discovery, server-side apply, delete, list, watch. */
export class ApiClient {
  private readonly access: ApiAccess
  private readonly agent: Agent
  private readonly groups = new Map<string, Promise<Discovered[]>>()

  constructor(access: ApiAccess) {
    this.access = access
    const { ca, cert, key } = access
    this.agent = new Agent({ keepAlive: true, ...(ca ? { ca } : {}), ...(cert ? { cert } : {}), ...(key ? { key } : {}) })
  }

  /** Ends idle connections. */
  close(): void {
    this.agent.destroy()
  }

  /** @throws ApiFailure */
  async json<T>(method: string, path: string, body?: unknown, contentType = 'application/json'): Promise<T> {
    return JSON.parse(await this.text(method, path, body, contentType)) as T
  }

  /** @throws ApiFailure */
  async text(method: string, path: string, body?: unknown, contentType = 'application/json'): Promise<string> {
    const response = await this.send(method, path, body, contentType)
    response.setEncoding('utf8')
    let text = ''
    for await (const part of response) text += part
    const code = response.statusCode ?? 0
    if (code >= 200 && code < 300) return text
    throw new ApiFailure(code, messageOf(text) || `${method} ${path}: HTTP ${code}`)
  }

  /** The collection that an object belongs to, such as `/apis/apps/v1/namespaces/demo/daemonsets`. @throws ApiFailure 404 if the server has no such kind */
  async collection({ apiVersion, kind, metadata }: KubernetesObject): Promise<string> {
    const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
    let group = this.groups.get(root)
    if (!group) {
      group = this.json<{ resources: Discovered[] }>('GET', root).then((list) => list.resources)
      this.groups.set(root, group)
      // A kind may be installed later.
      group.catch(() => this.groups.delete(root))
    }
    const found = (await group).find((r) => r.kind === kind && !r.name.includes('/'))
    if (!found) throw new ApiFailure(404, `the server has no kind ${kind} in ${apiVersion}`)
    return found.namespaced ? `${root}/namespaces/${metadata.namespace ?? 'default'}/${found.name}` : `${root}/${found.name}`
  }

  /** Server-side apply; this manager's fields win, and a field that the kind does not have is an error. @throws ApplyError */
  async apply(object: KubernetesObject): Promise<KubernetesObject> {
    try {
      const path = `${await this.collection(object)}/${object.metadata.name}?fieldManager=everyhop&force=true&fieldValidation=Strict`
      return await this.json('PATCH', path, object, 'application/apply-patch+yaml')
    } catch (error) {
      throw new ApplyError(`${describe(object)} could not be applied: ${(error as Error).message}`)
    }
  }

  /** Deletes the object and waits until it is gone. Nothing there is no error. @throws ApplyError also after `timeoutMs` */
  async delete(object: KubernetesObject, timeoutMs = 180_000): Promise<void> {
    try {
      const collection = await this.collection(object)
      const found = await this.json<KubernetesObject>('DELETE', `${collection}/${object.metadata.name}`, {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        propagationPolicy: 'Background',
      })
      const uid = found.metadata?.uid ?? (found as unknown as { details?: { uid?: string } }).details?.uid
      await this.until(
        collection,
        (objects) => (objects.some((o) => o.metadata.name === object.metadata.name && (!uid || o.metadata.uid === uid)) ? undefined : true),
        { fieldSelector: `metadata.name=${object.metadata.name}`, timeoutMs },
      )
    } catch (error) {
      if (error instanceof ApiFailure && error.code === 404) return
      throw new ApplyError(`${describe(object)} could not be deleted: ${(error as Error).message}`)
    }
  }

  async list(collection: string, query = ''): Promise<{ items: KubernetesObject[]; resourceVersion: string }> {
    const list = await this.json<{ items: KubernetesObject[]; metadata: { resourceVersion: string } }>('GET', `${collection}${query}`)
    return { items: list.items, resourceVersion: list.metadata.resourceVersion }
  }

  /**
   * Waits by watch until `check` of all objects of a collection gives a value; looks at every change.
   * @throws what `check` throws; Error after `timeoutMs`; the signal's reason
   */
  async until<T>(
    collection: string,
    check: (objects: KubernetesObject[]) => T | undefined | Promise<T | undefined>,
    { fieldSelector = '', timeoutMs = 180_000, signal }: { fieldSelector?: string; timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<T> {
    const timeout = AbortSignal.timeout(timeoutMs)
    const end = signal ? AbortSignal.any([timeout, signal]) : timeout
    const ended = () => (timeout.aborted ? new Error(`not in ${timeoutMs / 1000} s`) : (signal?.reason as Error))
    const selector = fieldSelector ? `&fieldSelector=${encodeURIComponent(fieldSelector)}` : ''
    for (;;) {
      const { items, resourceVersion } = await this.list(collection, `?limit=0${selector}`)
      const objects = new Map(items.map((o) => [o.metadata.uid ?? '', o]))
      const first = await check([...objects.values()])
      if (first !== undefined) return first
      try {
        const path = `${collection}?watch=1&resourceVersion=${resourceVersion}&allowWatchBookmarks=true${selector}`
        for await (const { type, object } of this.watch(path, end)) {
          if (type === 'ERROR') break
          if (type === 'BOOKMARK') continue
          if (type === 'DELETED') objects.delete(object.metadata.uid ?? '')
          else objects.set(object.metadata.uid ?? '', object)
          const value = await check([...objects.values()])
          if (value !== undefined) return value
        }
      } catch (error) {
        if (end.aborted) throw ended()
        if (!(error instanceof ApiFailure && error.code === 410)) throw error
      }
      if (end.aborted) throw ended()
    }
  }

  /** The events of a watch, until it ends or `signal` does. */
  async *watch(path: string, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const response = await this.send('GET', path, undefined, '', signal)
    const lines = createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })
    // Lines of a response that is destroyed never end by themselves.
    const abort = () => {
      response.destroy()
      lines.close()
    }
    signal.addEventListener('abort', abort)
    try {
      if (response.statusCode !== 200) throw new ApiFailure(response.statusCode ?? 0, `GET ${path}: HTTP ${response.statusCode}`)
      if (signal.aborted) return
      for await (const line of lines) if (line) yield JSON.parse(line) as WatchEvent
    } finally {
      signal.removeEventListener('abort', abort)
      abort()
    }
  }

  private send(method: string, path: string, body: unknown, contentType: string, signal?: AbortSignal): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const payload = body === undefined ? undefined : JSON.stringify(body)
    const headers = {
      accept: 'application/json',
      ...(this.access.token ? { authorization: `Bearer ${this.access.token}` } : {}),
      ...(payload === undefined ? {} : { 'content-type': contentType, 'content-length': String(Buffer.byteLength(payload)) }),
    }
    const options = { method, agent: this.agent, headers, ...(signal ? { signal } : {}) }
    const sent = request(new URL(path, this.access.server), options, resolve)
    sent.on('error', reject)
    sent.end(payload)
    return promise
  }
}

/** `Pod demo/sleep`. */
export function describe({ kind, metadata }: KubernetesObject): string {
  return `${kind} ${metadata.namespace ? `${metadata.namespace}/` : ''}${metadata.name}`
}

function messageOf(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { message?: string }).message
  } catch {
    return text.trim() || undefined
  }
}
