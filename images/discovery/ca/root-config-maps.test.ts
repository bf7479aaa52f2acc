import { expect, test, vi } from 'vitest'
import type { KubeClient } from '../kubernetes/client.ts'
import { RootConfigMaps } from './root-config-maps.ts'

function world() {
  const json = vi.fn<(method: string, path: string) => Promise<unknown>>(async () => ({}))
  const warn = vi.fn()
  const maps = new RootConfigMaps({ json } as unknown as KubeClient, { warn } as never)
  const namespace = (name: string, deletionTimestamp?: string) =>
    ({ metadata: { name, ...(deletionTimestamp && { deletionTimestamp }) } }) as never
  const map = (of: string, pem?: string) => ({
    metadata: { name: 'istio-ca-root-cert', namespace: of },
    ...(pem && { data: { 'root-cert.pem': pem } }),
  })
  /** What was written since the last time: method and namespace. */
  const written = async () => {
    // A write that is begun is begun at once; what follows it takes turns of the loop, none of them time.
    await new Promise((resolve) => setImmediate(resolve))
    return json.mock.calls.splice(0).map(([method, path]) => `${method} ${path.split('/')[4]}`)
  }
  return { maps, namespace, map, written }
}

test('nothing is written before there is a root, and where it is right', async () => {
  const { maps, namespace, map, written } = world()
  maps.namespaces.put(namespace('new'))
  maps.namespaces.put(namespace('right'))
  maps.namespaces.put(namespace('wrong'))
  maps.configMaps.put(map('right', 'root'))
  maps.configMaps.put(map('wrong', 'old'))
  expect(await written()).toEqual([])
  maps.setRoot('root')
  expect(await written()).toEqual(['POST new', 'PATCH wrong'])
  for (const name of ['new', 'wrong']) maps.configMaps.put(map(name, 'root'))
  maps.namespaces.put(namespace('right'))
  expect(await written()).toEqual([])
  maps.setRoot('next')
  expect(await written()).toEqual(['PATCH new', 'PATCH right', 'PATCH wrong'])
})

test('a namespace that goes, or is gone, gets nothing, whatever becomes of its ConfigMap', async () => {
  const { maps, namespace, map, written } = world()
  maps.setRoot('root')
  maps.namespaces.put(namespace('going'))
  maps.namespaces.put(namespace('gone'))
  expect(await written()).toEqual(['POST going', 'POST gone'])
  maps.namespaces.put(namespace('going', '2026-01-01T00:00:00Z'))
  maps.namespaces.remove(namespace('gone'))
  for (const name of ['going', 'gone', 'never']) {
    maps.configMaps.put(map(name, 'other'))
    maps.configMaps.remove(map(name))
  }
  expect(await written()).toEqual([])
})
