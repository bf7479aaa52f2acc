import { once } from 'node:events'
import { request } from 'node:https'
import { AppsV1Api, type CoreV1Api, type KubeConfig, PatchStrategy, type V1Pod } from '@kubernetes/client-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { as, failure, pod, startTestServer, type TestServer } from './test-server.ts'

let context: TestServer
let server: TestServer['server']
let kubeConfig: KubeConfig
let core: CoreV1Api
let namespace: TestServer['namespace']
beforeAll(async () => {
  context = await startTestServer()
  ;({ server, kubeConfig, core, namespace } = context)
})
afterAll(() => context[Symbol.asyncDispose]())

describe('errors are Status objects that say what and where', () => {
  test('409 AlreadyExists, 422 with a cause a field, 404 namespace, 403 service account', async () => {
    const ns = await namespace()
    await core.createNamespacedPod({ namespace: ns, body: pod('a') })
    expect(await failure(core.createNamespacedPod({ namespace: ns, body: pod('a') }))).toMatchObject({ code: 409, reason: 'AlreadyExists' })
    const broken = {
      metadata: { name: 'Not_a_name', labels: { 'a b': 'c' } },
      spec: { containers: [{ name: 'c' }, { name: 'c', image: 'i' }] },
    }
    const status = await failure(core.createNamespacedPod({ namespace: ns, body: broken as V1Pod }))
    expect([status.code, status.reason]).toStrictEqual([422, 'Invalid'])
    expect(status.details!.causes!.map((c) => c.field)).toStrictEqual([
      'metadata.name',
      'metadata.labels',
      'spec.containers[0].image',
      'spec.containers[1].name',
    ])
    expect(await failure(core.createNamespacedPod({ namespace: 'nowhere', body: pod('a') }))).toMatchObject({
      code: 404,
      message: 'namespaces "nowhere" not found',
    })
    const forbidden = core.createNamespacedPod({ namespace: ns, body: pod('b', { serviceAccountName: 'who' }) })
    expect(await failure(forbidden)).toMatchObject({ code: 403, message: expect.stringContaining('serviceaccount "who" not found') })
  })

  test('immutable fields', async () => {
    const ns = await namespace()
    await core.createNamespacedPod({ namespace: ns, body: pod('a') })
    const change = core.patchNamespacedPod(
      { namespace: ns, name: 'a', body: { spec: { hostNetwork: true } } },
      as(PatchStrategy.MergePatch),
    )
    expect(await failure(change)).toMatchObject({ code: 422, message: expect.stringContaining('pod updates may not change fields') })
    const apps = kubeConfig.makeApiClient(AppsV1Api)
    const template = { metadata: { labels: { app: 'x' } }, spec: pod('x').spec! }
    await apps.createNamespacedDeployment({
      namespace: ns,
      body: { metadata: { name: 'd' }, spec: { selector: { matchLabels: { app: 'x' } }, template } },
    })
    const patch = { spec: { selector: { matchLabels: { app: 'y' } }, template: { metadata: { labels: { app: 'y' } } } } }
    const status = await failure(apps.patchNamespacedDeployment({ namespace: ns, name: 'd', body: patch }, as(PatchStrategy.MergePatch)))
    expect(status.details!.causes!.map((c) => c.field)).toStrictEqual(['spec.selector'])
  })

  const raw = async (path: string, options: { method?: string; headers?: Record<string, string>; body?: string } = {}) => {
    const sent = request({
      host: '127.0.0.1',
      port: server.ports[0],
      ca: server.caPem,
      path,
      method: options.method ?? 'GET',
      headers: { authorization: `Bearer ${server.adminToken}`, ...options.headers },
    })
    sent.end(options.body)
    const [response] = (await once(sent, 'response')) as [import('node:http').IncomingMessage]
    const text = (await response.toArray()).join('')
    return {
      code: response.statusCode,
      text,
      status: text.startsWith('{') ? (JSON.parse(text) as { message: string; reason: string }) : undefined,
    }
  }
  const json = { 'content-type': 'application/json' }
  const yaml = { 'content-type': 'application/yaml' }

  test.each<[string, string, Parameters<typeof raw>[1], number, string]>([
    ['no token', '/api/v1/pods', { headers: { authorization: '' } }, 401, 'Unauthorized'],
    ['a wrong token', '/api/v1/pods', { headers: { authorization: 'Bearer nonsense' } }, 401, 'Unauthorized'],
    ['an unknown path', '/api/v1/nothings', {}, 404, 'could not find the requested resource'],
    ['a broken escape', '/api/v1/namespaces/%zz', {}, 400, '%-escape'],
    ['JSON that breaks off', '/api/v1/namespaces', { method: 'POST', headers: json, body: '{"metadata":\n{"name": ' }, 400, 'line 2'],
    [
      'YAML with bad indentation',
      '/api/v1/namespaces',
      { method: 'POST', headers: yaml, body: 'metadata:\n  name: a\n b: c\n' },
      400,
      'line 3',
    ],
    ['no body', '/api/v1/namespaces', { method: 'POST', headers: json }, 400, 'empty'],
    ['a list for an object', '/api/v1/namespaces', { method: 'POST', headers: json, body: '[]' }, 400, 'must be an object'],
    [
      'another kind',
      '/api/v1/namespaces',
      { method: 'POST', headers: json, body: '{"kind":"Pod","metadata":{"name":"a"}}' },
      400,
      'v1 Pod',
    ],
    [
      'protobuf',
      '/api/v1/namespaces',
      { method: 'POST', headers: { 'content-type': 'application/vnd.kubernetes.protobuf' }, body: 'k8s' },
      415,
      'application/json',
    ],
    ['a patch of no known type', '/api/v1/namespaces/default', { method: 'PATCH', headers: json, body: '{}' }, 415, 'merge-patch+json'],
    ['a selector that cannot be read', '/api/v1/pods?labelSelector=a%20in%20(', {}, 400, 'label selector'],
    ['a field that cannot be selected', '/api/v1/pods?fieldSelector=spec.x%3D1', {}, 400, 'field label not supported: spec.x'],
    ['a version that is no number', '/api/v1/pods?resourceVersion=x', {}, 400, 'invalid resource version'],
    ['a version of the future', '/api/v1/pods?resourceVersion=99999999', {}, 504, 'Too large resource version'],
    ['a bad continue', '/api/v1/pods?continue=x', {}, 400, 'continue key is not valid'],
    ['a method that is not there', '/api/v1/namespaces/default', { method: 'POST', headers: json, body: '{}' }, 405, 'not supported'],
    [
      'a name that differs from the path',
      '/api/v1/namespaces/default',
      { method: 'PUT', headers: json, body: '{"metadata":{"name":"x"}}' },
      400,
      'does not match',
    ],
  ])('%s', async (_name, path, options, code, message) => {
    const answer = await raw(path, options)
    expect(answer.status).toMatchObject({ kind: 'Status', status: 'Failure', code, message: expect.stringContaining(message) })
    expect(answer.code).toBe(code)
  })

  test('health and version need no token; YAML bodies are read', async () => {
    for (const path of ['/healthz', '/readyz', '/livez'])
      expect(await raw(path, { headers: { authorization: '' } })).toMatchObject({ code: 200, text: 'ok' })
    expect((await raw('/version', { headers: { authorization: '' } })).text).toContain('"gitVersion":"v1.34')
    const created = await raw('/api/v1/namespaces', { method: 'POST', headers: yaml, body: 'metadata:\n  name: from-yaml\n' })
    expect(created.code).toBe(201)
  })
})
