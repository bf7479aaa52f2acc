import { existsSync } from 'node:fs'
import type { V1Volume } from '@kubernetes/client-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { LabNode } from '../node/node.ts'
import { startTestLab, type TestLab } from '../node/testing.ts'
import { type Kubelet, startKubelet } from './kubelet.ts'
import { FakeApi, testImages, testPod } from './testing.ts'

let lab: TestLab
let node: LabNode
let api: FakeApi
let kubelet: Kubelet

beforeAll(async () => {
  lab = await startTestLab(['one'])
  node = lab.nodes[0] as LabNode
  api = new FakeApi()
  kubelet = await startKubelet({ node, api, registry: lab.registry, images: testImages })
})
afterAll(async () => {
  await kubelet.stop()
  await lab.teardown()
})

/** Starts a pod that waits, with these volumes under /v/NAME. @returns reads a file as the container sees it */
async function start(name: string, volumes: V1Volume[], metadata = {}) {
  const volumeMounts = volumes.map((volume) => ({ name: volume.name, mountPath: `/v/${volume.name}` }))
  api.set(testPod({ name, node, metadata, spec: { volumes }, container: { volumeMounts } }))
  await api.ready(name)
  const { uid } = api.get(name).metadata
  const [pid] = (await node.run(['sh', '-c', `grep -l pod${uid} /proc/[0-9]*/cgroup`]))
    .trim()
    .split('\n')
    .map((path) => path.split('/')[2])
    .slice(-1)
  return { uid, read: (path: string) => node.run(['nsenter', '-t', `${pid}`, '-m', 'cat', path]) }
}

test('an emptyDir is where its node keeps it, and open to all', async () => {
  const { uid, read } = await start('empty', [{ name: 'control', emptyDir: {} }])
  const path = `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~empty-dir/control`
  await node.run(['sh', '-c', `echo hello > ${path}/file; stat -c %a ${path}`]).then((mode) => expect(mode).toBe('777\n'))
  expect(await read('/v/control/file')).toBe('hello\n')
  api.delete('empty')
  await api.gone('empty')
  expect(existsSync(node.hostPath(path))).toBe(false)
})

test('a ConfigMap and a Secret appear as files; a pod waits for one that is missing', async () => {
  api.setConfig('ConfigMap', 'demo', 'settings', { 'a.yaml': 'first', b: 'b' })
  const volumes: V1Volume[] = [
    { name: 'all', configMap: { name: 'settings' } },
    { name: 'some', configMap: { name: 'settings', items: [{ key: 'b', path: 'sub/c', mode: 0o400 }] } },
    { name: 'secret', secret: { secretName: 'keys' } },
    { name: 'maybe', secret: { secretName: 'nowhere', optional: true } },
  ]
  const started = start('files', volumes)
  await api.until('the secret is missed', () =>
    api.events.some((e) => /MountVolume.SetUp failed for volume "secret": secret "keys" not found/.test(String(e.message))),
  )
  api.setConfig('Secret', 'demo', 'keys', { key: Buffer.from('hidden').toString('base64') })
  const { uid, read } = await started
  expect(await read('/v/all/a.yaml')).toBe('first')
  expect(await read('/v/some/sub/c')).toBe('b')
  expect(await read('/v/secret/key')).toBe('hidden')
  const data = () => node.run(['readlink', `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~configmap/all/..data`])
  const before = await data()
  api.setConfig('ConfigMap', 'other', 'settings', { 'a.yaml': 'not mine' })
  api.setConfig('ConfigMap', 'demo', 'settings', { 'a.yaml': 'second' })
  await expect.poll(() => read('/v/all/a.yaml')).toBe('second')
  expect(await data()).not.toBe(before)
  await expect(read('/v/all/b')).rejects.toThrow(/No such file/)
  api.delete('files')
  await api.gone('files')
})

test('projected volumes: a token for its audience, fields of the pod, and labels that follow', async () => {
  const volumes: V1Volume[] = [
    {
      name: 'all',
      projected: {
        sources: [
          { serviceAccountToken: { path: 'istio-token', audience: 'istio-ca', expirationSeconds: 43200 } },
          { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
        ],
      },
    },
    { name: 'own', downwardAPI: { items: [{ path: 'ip', fieldRef: { fieldPath: 'status.podIP' } }] } },
  ]
  const { read } = await start('projected', volumes, { labels: { tier: 'one' } })
  expect(await read('/v/all/istio-token')).toMatch(/^token-istio-ca-/)
  expect(api.tokenRequests).toContainEqual(
    expect.objectContaining({
      audience: 'istio-ca',
      expirationSeconds: 43200,
      serviceAccount: 'tester',
      namespace: 'demo',
      pod: expect.objectContaining({ name: 'projected' }),
    }),
  )
  expect(await read('/v/all/labels')).toBe('tier="one"')
  expect(await read('/v/own/ip')).toBe(api.get('projected').status?.podIP)
  const pod = api.get('projected')
  api.set({ ...pod, metadata: { ...pod.metadata, labels: { tier: 'two' } } })
  await expect.poll(() => read('/v/all/labels')).toBe('tier="two"')
  api.delete('projected')
  await api.gone('projected')
})

test('every container gets its service account’s token, authority and namespace, unless it does not want them', async () => {
  const { read } = await start('account', [])
  const directory = '/var/run/secrets/kubernetes.io/serviceaccount'
  expect(await read(`${directory}/token`)).toMatch(/^token-api-/)
  expect(await read(`${directory}/ca.crt`)).toBe(api.caBundle)
  expect(await read(`${directory}/namespace`)).toBe('demo')
  api.delete('account')
  await api.gone('account')
  api.set(testPod({ name: 'bare', node, spec: { automountServiceAccountToken: false } }))
  await api.ready('bare')
  expect(existsSync(node.hostPath(`/var/lib/kubelet/pods/${api.get('bare').metadata.uid}/volumes/kubernetes.io~projected`))).toBe(false)
  api.delete('bare')
  await api.gone('bare')
})

test('a mount of a volume that the pod does not have is named', async () => {
  api.set(testPod({ name: 'wrong', node, container: { volumeMounts: [{ name: 'none', mountPath: '/x' }] } }))
  await api.until('it is said', () =>
    /volumeMount \/x of container main: the pod has no volume "none"/.test(
      api.get('wrong').status?.containerStatuses?.[0]?.state.waiting?.message ?? '',
    ),
  )
  api.delete('wrong')
  await api.gone('wrong')
})
