import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ApiClient, accessOf } from '../../api-client.ts'
import { pod, startTestServer, type TestServer } from './test-server.ts'

let context: TestServer
let api: ApiClient
beforeAll(async () => {
  context = await startTestServer()
  const directory = mkdtempSync(join(tmpdir(), 'everyhop-api-client-'))
  const file = join(directory, 'kubeconfig')
  writeFileSync(file, context.server.kubeconfig(`https://127.0.0.1:${context.server.ports[0]}`))
  api = new ApiClient(accessOf(file))
  rmSync(directory, { recursive: true })
})
afterAll(async () => {
  api.close()
  await context[Symbol.asyncDispose]()
})

test('what comes in time is waited for', async () => {
  const namespace = await context.namespace()
  const found = api.until(`/api/v1/namespaces/${namespace}/pods`, (pods) => pods[0]?.metadata.name)
  await context.core.createNamespacedPod({ namespace, body: pod('late') })
  expect(await found).toBe('late')
})

test('what does not come ends after its time, also in the middle of a watch', async () => {
  const path = `/api/v1/namespaces/${await context.namespace()}/pods`
  await expect(api.until(path, () => undefined, { timeoutMs: 300 })).rejects.toThrow('not in 0.3 s')
})

test('a signal ends it with its reason', async () => {
  const path = `/api/v1/namespaces/${await context.namespace()}/pods`
  const over = new AbortController()
  const waiting = api.until(path, () => undefined, { signal: over.signal })
  setTimeout(() => over.abort(new Error('enough')), 300)
  await expect(waiting).rejects.toThrow('enough')
})
