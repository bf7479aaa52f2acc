import { type CoreV1Api, type KubeConfig, makeInformer, PatchStrategy, type V1Pod, Watch } from '@kubernetes/client-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { resources } from './store.ts'
import { as, pod, startTestServer, type TestServer } from './test-server.ts'

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

describe('watches', () => {
  type Seen = { type: string; name: string | undefined; version: string; annotations?: Record<string, string> }
  /** Watches until `until` holds for what was seen, then closes. */
  async function watch(
    path: string,
    query: Record<string, string | boolean>,
    until: (seen: Seen[]) => boolean,
    begun?: () => void,
  ): Promise<Seen[]> {
    const seen: Seen[] = []
    const controllers: AbortController[] = []
    await new Promise<void>((resolve, reject) => {
      const onEvent = (type: string, object: { code?: number; metadata: Omit<Seen, 'type'> & { resourceVersion: string } }) => {
        const { name, resourceVersion: version, annotations } = object.metadata
        seen.push({ type, name: name ?? (object.code ? String(object.code) : undefined), version, ...(annotations && { annotations }) })
        if (!until(seen)) return
        for (const controller of controllers) controller.abort()
        resolve()
      }
      const done = (error: unknown) => (error ? reject(error) : resolve())
      new Watch(kubeConfig).watch(path, query, onEvent, done).then((controller) => {
        controllers.push(controller)
        begun?.()
      }, reject)
    })
    return [...seen]
  }

  test('goes on from the version of a list, past a break, without loss or repetition', async () => {
    const ns = await namespace()
    const path = `/api/v1/namespaces/${ns}/secrets`
    const create = (name: string) => core.createNamespacedSecret({ namespace: ns, body: { metadata: { name } } })
    await create('before')
    const { metadata } = await core.listNamespacedSecret({ namespace: ns })
    const first = await watch(
      path,
      { resourceVersion: metadata!.resourceVersion! },
      (seen) => seen.length === 2,
      () => void create('a').then(() => create('b')),
    )
    await create('c')
    await core.deleteNamespacedSecret({ namespace: ns, name: 'a' })
    const second = await watch(path, { resourceVersion: first.at(-1)!.version }, (seen) => seen.length === 2)
    expect([...first, ...second].map(({ type, name }) => `${type} ${name}`)).toStrictEqual(['ADDED a', 'ADDED b', 'ADDED c', 'DELETED a'])
    const versions = [...first, ...second].map(({ version }) => Number(version))
    expect(versions).toStrictEqual([...versions].sort((x, y) => x - y))
  })

  test('bookmarks bring a quiet watch forward, so that it can go on after history was forgotten', async () => {
    const ns = await namespace()
    const path = `/api/v1/namespaces/${ns}/configmaps`
    const { metadata } = await core.listNamespacedConfigMap({ namespace: ns })
    const churn = () => {
      for (let i = 0; i < 250; i++) server.store.patch(resources.namespaces, { name: ns }, { metadata: { annotations: { i: String(i) } } })
    }
    let target = Number.POSITIVE_INFINITY
    const seen = await watch(
      path,
      { resourceVersion: metadata!.resourceVersion!, allowWatchBookmarks: true },
      (events) => Number(events.at(-1)?.version ?? 0) >= target,
      () => {
        churn()
        target = Number(server.store.resourceVersion)
      },
    )
    expect(new Set(seen.map(({ type }) => type))).toStrictEqual(new Set(['BOOKMARK']))
    const stale = await watch(path, { resourceVersion: metadata!.resourceVersion! }, () => false)
    expect(stale).toMatchObject([{ type: 'ERROR', name: '410' }])
    const goneOn = await watch(path, { resourceVersion: seen.at(-1)!.version, timeoutSeconds: '1' }, () => false)
    expect(goneOn).toStrictEqual([])
  })

  test('sendInitialEvents: the objects, then a bookmark that marks their end', async () => {
    const ns = await namespace()
    await core.createNamespacedSecret({ namespace: ns, body: { metadata: { name: 'a' } } })
    const query = {
      sendInitialEvents: true,
      resourceVersionMatch: 'NotOlderThan',
      resourceVersion: server.store.resourceVersion,
      allowWatchBookmarks: true,
    }
    const seen = await watch(`/api/v1/namespaces/${ns}/secrets`, query, (events) => events.length === 2)
    expect(seen).toMatchObject([
      { type: 'ADDED', name: 'a' },
      { type: 'BOOKMARK', annotations: { 'k8s.io/initial-events-end': 'true' } },
    ])
  })

  test('an object that leaves the selection is DELETED for that watch, one that enters ADDED', async () => {
    const ns = await namespace()
    await core.createNamespacedSecret({ namespace: ns, body: { metadata: { name: 'a', labels: { on: '1' } } } })
    const label = (value: string | null) =>
      server.store.patch(resources.secrets, { namespace: ns, name: 'a' }, { metadata: { labels: { on: value } } })
    const seen = await watch(
      `/api/v1/namespaces/${ns}/secrets`,
      { labelSelector: 'on=1' },
      (events) => events.length === 4,
      () => {
        label('2')
        label(null)
        label('1')
        server.store.delete(resources.secrets, { namespace: ns, name: 'a' })
      },
    )
    expect(seen.map(({ type }) => type)).toStrictEqual(['ADDED', 'DELETED', 'ADDED', 'DELETED'])
  })

  test('an informer stays in step, through cut connections and forgotten history', async () => {
    const ns = await namespace()
    const create = (name: string) => core.createNamespacedPod({ namespace: ns, body: pod(name) })
    await create('first')
    const informer = makeInformer(kubeConfig, `/api/v1/namespaces/${ns}/pods`, () => core.listNamespacedPod({ namespace: ns }))
    const log: string[] = []
    let check = () => {}
    const until = (line: string) =>
      new Promise<void>((resolve) => {
        check = () => log.includes(line) && resolve()
        check()
      })
    for (const verb of ['add', 'update', 'delete'] as const) {
      informer.on(verb as 'add', (object: V1Pod) => {
        log.push(`${verb} ${object.metadata!.name}${object.metadata!.labels?.x ?? ''}`)
        check()
      })
    }
    await informer.start()
    await until('add first')
    await create('second')
    await until('add second')
    await core.patchNamespacedPod(
      { namespace: ns, name: 'second', body: { metadata: { labels: { x: 'y' } } } },
      as(PatchStrategy.MergePatch),
    )
    await until('update secondy')
    await core.deleteNamespacedPod({ namespace: ns, name: 'first' })
    await until('delete first')
    await informer.stop()
    await create('third')
    for (let i = 0; i < 250; i++) server.store.patch(resources.namespaces, { name: ns }, { metadata: { annotations: { i: String(i) } } })
    await informer.start()
    await until('add third')
    await informer.stop()
    expect(informer.list().map((p) => p.metadata!.name)).toStrictEqual(['second', 'third'])
    expect(log.filter((line) => line.startsWith('add second'))).toHaveLength(1)
  })
})
