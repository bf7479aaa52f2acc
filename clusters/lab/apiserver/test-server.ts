import { ApiException, CoreV1Api, KubeConfig, setHeaderOptions, type V1Pod } from '@kubernetes/client-node'
import { expect } from 'vitest'
import { AF_INET, SOCK_STREAM } from '../../../images/lib/libc.ts'
import { socketInNetns } from '../../../images/lib/netns.ts'
import { startControllers } from '../controllers/controllers.ts'
import { type ApiServer, createApiServer } from './server.ts'

/** A running server with its controllers and a client of it, for tests. */
export interface TestServer extends AsyncDisposable {
  readonly server: ApiServer
  readonly kubeConfig: KubeConfig
  readonly core: CoreV1Api
  /** A new namespace. @returns its name */
  namespace(): Promise<string>
}

/** Listeners: IPv4, IPv6, and a socket that was bound before. History of 100 changes, bookmarks every 20 ms, logs that name pod and container. */
export async function startTestServer(): Promise<TestServer> {
  const server = await createApiServer({
    listeners: [
      { host: '127.0.0.1', port: 0 },
      { host: '::1', port: 0 },
      { fd: socketInNetns(undefined, AF_INET, SOCK_STREAM, { bind: { address: '127.0.0.1', port: 0 } }) },
    ],
    names: ['172.30.0.1'],
    advertise: { address: '172.30.0.1', port: 6443 },
    historySize: 100,
    bookmarkEvery: 20,
    podLog: (pod, container) =>
      `2026-01-02T03:04:05.000000006Z stdout P ${pod.metadata.name}\n2026-01-02T03:04:05.1Z stdout F /${container}\n2026-01-02T03:04:06Z stderr F two\n`,
  })
  const stopControllers = startControllers(server.store, { caPem: server.caPem })
  const kubeConfig = new KubeConfig()
  kubeConfig.loadFromString(server.kubeconfig(`https://127.0.0.1:${server.ports[0]}`))
  const core = kubeConfig.makeApiClient(CoreV1Api)
  return {
    server,
    kubeConfig,
    core,
    namespace: async () => (await core.createNamespace({ body: { metadata: { generateName: 'test-' } } })).metadata!.name!,
    [Symbol.asyncDispose]: async () => {
      stopControllers()
      await server.close()
    },
  }
}

/** A call with this content type. */
export const as = (type: string) => setHeaderOptions('Content-Type', type)

export const pod = (name: string, extra: object = {}): V1Pod => ({
  metadata: { name, labels: { app: name } },
  spec: { containers: [{ name: 'c', image: 'everyhop/sleep:dev' }], ...extra },
})
/** The Status of a call that must fail. */
export async function failure(
  call: Promise<unknown>,
): Promise<{ code: number; reason: string; message: string; details?: { causes?: { field: string }[] } }> {
  const error = await call.then(
    () => expect.fail('the call succeeded'),
    (e: unknown) => e,
  )
  expect(error).toBeInstanceOf(ApiException)
  const { code, body } = error as ApiException<string>
  const status = JSON.parse(body) as { kind: string; code: number; reason: string; message: string }
  expect(status).toMatchObject({ kind: 'Status', status: 'Failure', code })
  return status
}
