import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { resources, Store } from './apiserver/store.ts'
import { startLocalXds } from './local-xds.ts'

const namespace = 'istio-system'
const name = 'ztunnel-local-xds'

test('the ConfigMap follows the API: a burst is one write, and none is made without a difference', async () => {
  const store = new Store()
  const errors: Error[] = []
  const stop = startLocalXds(store, (error) => errors.push(error))
  const text = () => (store.find(resources.configmaps, { namespace, name })?.data as Record<string, string> | undefined)?.['local.yaml']
  const state = () => parse(text() ?? 'null')
  let writes = 0
  store.watch(resources.configmaps, { namespace }, ({ object }) => {
    if (object.metadata.name === name) writes++
  })
  const becomes = (read: () => unknown, value: unknown) => expect.poll(read, { interval: 2 }).toEqual(value)
  const protocols = () => state()?.workloads.map((w: { protocol: string }) => w.protocol)

  store.create(resources.namespaces, { metadata: { name: 'demo' } })
  store.create(resources.serviceaccounts, { metadata: { name: 'default', namespace: 'demo' } })
  expect(text()).toBeUndefined()
  store.create(resources.namespaces, { metadata: { name: namespace } })
  await becomes(state, { workloads: [], services: [], policies: [] })
  expect(writes).toBe(1)

  for (const [pod, podIP] of [
    ['a', '10.244.1.5'],
    ['b', '10.244.1.6'],
  ] as const) {
    store.create(resources.pods, {
      metadata: { name: pod, namespace: 'demo' },
      spec: { containers: [{ name: 'c', image: 'i' }], nodeName: 'one' },
    })
    store.patch(resources.pods, { name: pod, namespace: 'demo' }, { status: { podIP } }, { subresource: 'status' })
  }
  store.create(resources.services, { metadata: { name: 'web', namespace: 'demo' }, spec: { ports: [{ port: 80 }] } })
  await becomes(protocols, ['TCP', 'TCP'])
  expect(state().services[0].vips[0]).toMatch(/^\/10\.96\./)
  expect(writes).toBe(2)

  const annotate = (annotations: Record<string, string>) =>
    store.patch(resources.pods, { name: 'a', namespace: 'demo' }, { metadata: { annotations } })
  annotate({ other: 'x' })
  annotate({ 'ambient.istio.io/redirection': 'enabled' })
  await becomes(protocols, ['HBONE', 'TCP'])
  expect(writes).toBe(3)

  store.delete(resources.configmaps, { namespace, name })
  await becomes(protocols, ['HBONE', 'TCP'])

  await stop()
  const before = text()
  store.delete(resources.services, { name: 'web', namespace: 'demo' })
  expect(text()).toBe(before)
  expect(errors).toEqual([])
})
