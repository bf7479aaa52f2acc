import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { resources, Store } from './apiserver/store.ts'
import { startLocalXds } from './local-xds.ts'

const namespace = 'istio-system'
const name = 'ztunnel-local-xds'

test('the ConfigMap follows the API, one write for all changes of a turn, none without a difference', async () => {
  const store = new Store()
  const stop = startLocalXds(store)
  const current = () =>
    parse((store.find(resources.configmaps, { namespace, name })?.data as Record<string, string> | undefined)?.['local.yaml'] ?? 'null')
  let writes = 0
  store.watch(resources.configmaps, { namespace }, ({ object }) => {
    if (object.metadata.name === name) writes++
  })
  const settled = async () => {
    for (let i = 0; i < 5; i++) await turn()
  }

  store.create(resources.namespaces, { metadata: { name: 'demo' } })
  await settled()
  expect(current()).toBeNull()

  store.create(resources.namespaces, { metadata: { name: namespace } })
  await settled()
  expect(current()).toEqual({ workloads: [], services: [], policies: [] })

  store.create(resources.serviceaccounts, { metadata: { name: 'default', namespace: 'demo' } })
  for (const pod of ['a', 'b']) {
    store.create(resources.pods, {
      metadata: { name: pod, namespace: 'demo' },
      spec: { containers: [{ name: 'c', image: 'i' }], nodeName: 'one' },
    })
    store.patch(
      resources.pods,
      { name: pod, namespace: 'demo' },
      { status: { podIP: `10.244.1.${pod === 'a' ? 5 : 6}` } },
      { subresource: 'status' },
    )
  }
  store.create(resources.services, { metadata: { name: 'web', namespace: 'demo' }, spec: { ports: [{ port: 80 }] } })
  await settled()
  expect(current().workloads.map((w: { name: string }) => w.name)).toEqual(['a', 'b'])
  expect(current().services[0].vips[0]).toMatch(/^\/10\.96\./)
  expect(writes).toBe(2)

  store.patch(
    resources.pods,
    { name: 'a', namespace: 'demo' },
    { metadata: { annotations: { 'ambient.istio.io/redirection': 'enabled' } } },
  )
  await settled()
  expect(current().workloads.map((w: { protocol: string }) => w.protocol)).toEqual(['HBONE', 'TCP'])

  store.patch(resources.pods, { name: 'a', namespace: 'demo' }, { metadata: { annotations: { other: 'x' } } })
  await settled()
  expect(writes).toBe(3)

  store.delete(resources.configmaps, { namespace, name })
  await settled()
  expect(current().workloads).toHaveLength(2)

  stop()
  store.delete(resources.services, { name: 'web', namespace: 'demo' })
  await settled()
  expect(current().services).toHaveLength(1)
})
