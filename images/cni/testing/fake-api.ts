import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { execa } from 'execa'

type FakeObject = {
  metadata: { name: string; namespace?: string; uid?: string; [key: string]: unknown }
  [key: string]: unknown
}

export const token = 'fake-token'

/** As much of a Kubernetes API server as the agent and the plugin speak to, for tests. */
export interface FakeApi {
  readonly port: number
  /** Service-account files that fit it: token, ca.crt, namespace. */
  readonly serviceAccountDir: string
  /** Requests that changed something: `PATCH path body`. */
  readonly patches: { path: string; body: unknown; type: string | undefined }[]
  put(resource: Resource, object: FakeObject): void
  delete(resource: Resource, namespace: string | undefined, name: string): void
  get(resource: Resource, namespace: string | undefined, name: string): FakeObject | undefined
  /** Resolves when `condition` holds, looked at after every change. */
  until(condition: () => boolean): Promise<void>
  close(): Promise<void>
}

type Resource = 'pods' | 'namespaces' | 'daemonsets' | 'nodes'

/** @param directory where its key, certificate and the service-account files are put */
export async function fakeApi(directory: string): Promise<FakeApi> {
  const serviceAccountDir = join(directory, 'serviceaccount')
  mkdirSync(serviceAccountDir, { recursive: true })
  const key = join(directory, 'api.key')
  const cert = join(serviceAccountDir, 'ca.crt')
  const subject = ['-subj', '/CN=fake', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2']
  await execa('openssl', [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    key,
    '-out',
    cert,
    ...subject,
  ])
  writeFileSync(join(serviceAccountDir, 'token'), token)
  writeFileSync(join(serviceAccountDir, 'namespace'), 'istio-system')

  const objects = new Map<string, FakeObject>()
  const watchers = new Set<{ resource: Resource; response: ServerResponse }>()
  const waiting = new Set<() => void>()
  const patches: FakeApi['patches'] = []
  let version = 1
  const keyOf = (resource: Resource, namespace: string | undefined, name: string) => `${resource}/${namespace ?? ''}/${name}`
  const history: { resource: Resource; version: number; line: string }[] = []
  const tell = (resource: Resource, type: string, object: FakeObject) => {
    const line = `${JSON.stringify({ type, object })}\n`
    history.push({ resource, version, line })
    for (const w of watchers) if (w.resource === resource) w.response.write(line)
    for (const look of waiting) look()
  }
  const put = (resource: Resource, object: FakeObject) => {
    const id = keyOf(resource, object.metadata.namespace, object.metadata.name)
    const type = objects.has(id) ? 'MODIFIED' : 'ADDED'
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(++version) } }
    objects.set(id, stored)
    tell(resource, type, stored)
  }
  const merge = (target: unknown, patch: unknown): unknown => {
    if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
    const out = { ...(target as Record<string, unknown> | undefined) }
    for (const [k, v] of Object.entries(patch)) {
      if (v === null) delete out[k]
      else out[k] = merge(out[k], v)
    }
    return out
  }

  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, async (request, response) => {
    const url = new URL(request.url ?? '/', 'https://fake')
    const json = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    if (request.headers.authorization !== `Bearer ${token}`) return json(401, { kind: 'Status', code: 401, message: 'who are you' })
    const path = url.pathname.replace(/^\/(api\/v1|apis\/apps\/v1)/, '')
    const list = /^\/(pods|namespaces)$/.exec(path)
    if (list) {
      const resource = list[1] as Resource
      if (url.searchParams.get('watch')) {
        response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
        const watcher = { resource, response }
        watchers.add(watcher)
        const since = Number(url.searchParams.get('resourceVersion'))
        for (const e of history) if (e.resource === resource && e.version > since) response.write(e.line)
        response.once('close', () => watchers.delete(watcher))
        return undefined
      }
      const items = [...objects].filter(([id]) => id.startsWith(`${resource}/`)).map(([, o]) => o)
      return json(200, { kind: 'List', apiVersion: 'v1', metadata: { resourceVersion: String(version) }, items })
    }
    const one = /^\/namespaces\/([^/]+)\/(pods|daemonsets)\/([^/]+)(\/status)?$/.exec(path) ?? /^\/(namespaces|nodes)\/([^/]+)$/.exec(path)
    const [resource, namespace, name] = !one ? [] : one[3] === undefined ? [one[1], undefined, one[2]!] : [one[2]!, one[1], one[3]!]
    const found = resource && objects.get(keyOf(resource as Resource, namespace, name!))
    if (!found) return json(404, { kind: 'Status', code: 404, message: `${path} not found` })
    if (request.method === 'PATCH') {
      let text = ''
      for await (const chunk of request) text += chunk
      const body = JSON.parse(text)
      patches.push({ path, body, type: request.headers['content-type'] })
      put(resource as Resource, merge(found, body) as FakeObject)
    }
    return json(200, objects.get(keyOf(resource as Resource, namespace, name!)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  return {
    port: (server.address() as AddressInfo).port,
    serviceAccountDir,
    patches,
    put,
    delete(resource, namespace, name) {
      const id = keyOf(resource, namespace, name)
      const object = objects.get(id)
      objects.delete(id)
      if (object) tell(resource, 'DELETED', { ...object, metadata: { ...object.metadata, resourceVersion: String(++version) } })
    },
    get: (resource, namespace, name) => objects.get(keyOf(resource, namespace, name)),
    until(condition) {
      return new Promise((resolve) => {
        const look = () => {
          if (!condition()) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      })
    },
    async close() {
      for (const w of watchers) w.response.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
