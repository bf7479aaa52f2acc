import { existsSync, readdirSync, readFileSync } from 'node:fs'
import type { IntOrString } from '@kubernetes/client-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cgroupMembers } from '../node/cgroup.ts'
import type { LabNode } from '../node/node.ts'
import { startTestLab, type TestLab } from '../node/testing.ts'
import { type Kubelet, startKubelet } from './kubelet.ts'
import { podCgroup } from './sandbox.ts'
import { FakeApi, isTrue, testImages, testPod } from './testing.ts'

let lab: TestLab
let one: LabNode
let two: LabNode
let api: FakeApi
let kubelets: Kubelet[]

beforeAll(async () => {
  lab = await startTestLab(['one', 'two'])
  ;[one, two] = lab.nodes as [LabNode, LabNode]
  api = new FakeApi()
  kubelets = await Promise.all(lab.nodes.map((node) => startKubelet({ node, api, registry: lab.registry, images: testImages })))
})
afterAll(async () => {
  await Promise.all(kubelets.map((kubelet) => kubelet.stop()))
  await lab.teardown()
})

const httpGet = (path: string) => ({ httpGet: { path, port: 8080 as IntOrString } })
const server = { image: 'test/server', readinessProbe: { ...httpGet('/healthz'), periodSeconds: 1, failureThreshold: 1 } }
const get = (node: LabNode, url: string, netns?: string) =>
  node.run(['curl', '-sS', '--max-time', '5', url], netns === undefined ? {} : { netns })
const state = (name: string) => api.get(name).status?.containerStatuses?.[0]
const log = (node: LabNode, name: string) =>
  readdirSync(node.hostPath('/var/log/containers'))
    .filter((file) => file.startsWith(`${name}_`))
    .map((file) => readFileSync(node.hostPath(`/var/log/containers/${file}`), 'utf8'))
    .join('')

test('the node is registered with its address and range', () => {
  expect(api.nodes.map((node) => node.metadata.name)).toEqual(['one', 'two'])
  expect(api.nodes[1]).toMatchObject({
    spec: { podCIDR: '10.244.2.0/24' },
    status: { addresses: [{ type: 'InternalIP', address: '172.30.0.12' }, { type: 'Hostname' }] },
  })
})

test('a pod gets an address with a route on its node, and pods of both nodes reach each other with their own addresses', async () => {
  api.set(testPod({ name: 'here', node: one, container: server }))
  api.set(testPod({ name: 'there', node: two, container: server }))
  await Promise.all([api.ready('here'), api.ready('there')])
  const [here, there] = ['here', 'there'].map((name) => api.get(name).status?.podIP) as [string, string]
  expect(here).toMatch(/^10\.244\.1\./)
  expect(await one.run(['ip', 'route', 'show', `${here}/32`])).toMatch(new RegExp(`^${here} dev veth\\w+ scope host`))
  const [netns] = readdirSync(one.hostPath('/run/netns'))
  const answer = JSON.parse(await get(one, `http://${there}:8080/`, `/var/run/netns/${netns}`))
  expect(answer.peer).toBe(here)
  expect(answer.pid).toBe(1)
  expect(answer.env).toMatchObject({ HOSTNAME: 'there', KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' })
  expect(api.get('here').status).toMatchObject({
    phase: 'Running',
    hostIP: '172.30.0.11',
    podIPs: [{ ip: here }],
    containerStatuses: [{ ready: true, restartCount: 0 }],
  })
  expect(log(one, 'here')).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z stdout F listening\n/)
})

test('processes of a pod are found on the node by the pod’s uid in their cgroup', async () => {
  const { uid } = api.get('here').metadata
  const found = await one.run(['sh', '-c', `grep -l 'pod${uid}/[0-9a-f]\\{64\\}$' /proc/[0-9]*/cgroup`])
  const pids = found
    .trim()
    .split('\n')
    .map((path) => path.split('/')[2])
  expect(pids.length).toBeGreaterThanOrEqual(2)
  const namespaces = await one.run(['sh', '-c', pids.map((pid) => `readlink /proc/${pid}/ns/net`).join(';')])
  expect(new Set(namespaces.trim().split('\n')).size).toBe(1)
  expect(namespaces).not.toContain((await one.run(['readlink', '/proc/1/ns/net'])).trim())
})

test('readiness follows the probe both ways, and the probe comes from a socket of the node', async () => {
  const ip = api.get('there').status?.podIP
  await two.run(['iptables', '-A', 'OUTPUT', '-p', 'tcp', '-d', `${ip}`, '--dport', '8080', '-m', 'owner', '--socket-exists'])
  await get(two, `http://${ip}:8080/ill`)
  await api.until('there is not ready', () => !isTrue(api.get('there'), 'Ready'))
  expect(api.get('there').status?.conditions?.find((c) => c.type === 'ContainersReady')).toMatchObject({
    status: 'False',
    reason: 'ContainersNotReady',
  })
  expect(api.events.some((e) => e.message === 'Readiness probe failed: HTTP probe failed with statuscode: 500')).toBe(true)
  expect(state('there')).toMatchObject({ ready: false, restartCount: 0, state: { running: {} } })
  await get(two, `http://${ip}:8080/well`)
  await api.ready('there')
  const counted = await two.run(['iptables', '-vnL', 'OUTPUT'])
  expect(Number(/^\s*(\d+)/m.exec(counted.split('\n')[2] ?? '')?.[1])).toBeGreaterThan(4)
})

test('a graceful delete: SIGTERM, time to end, network and files away, then the object', async () => {
  const { uid } = api.get('here').metadata
  const cgroup = podCgroup(one, uid)
  expect(cgroupMembers(cgroup).length).toBeGreaterThan(0)
  const began = Date.now()
  api.delete('here')
  await api.gone('here')
  expect(Date.now() - began).toBeLessThan(3000)
  const last = api.statuses.get('here')?.at(-1)
  expect(last).toMatchObject({
    phase: 'Succeeded',
    containerStatuses: [{ ready: false, state: { terminated: { exitCode: 0, reason: 'Completed' } } }],
  })
  expect(existsSync(cgroup)).toBe(false)
  for (const path of ['/var/lib/kubelet/pods', '/var/log/pods', '/var/log/containers', '/run/netns', '/run/everyhop/stage'])
    expect(readdirSync(one.hostPath(path)), path).toEqual([])
  expect(await one.run(['ip', 'route'])).not.toContain('veth')
})

test('a container that does not hear SIGTERM is killed after its grace period; a second, shorter delete hurries', async () => {
  api.set(
    testPod({ name: 'deaf', node: one, container: { image: 'test/sh', args: ['sleep 1000'] }, spec: { terminationGracePeriodSeconds: 1 } }),
  )
  api.set(
    testPod({
      name: 'deafer',
      node: one,
      container: { image: 'test/sh', args: ['sleep 1000'] },
      spec: { terminationGracePeriodSeconds: 600 },
    }),
  )
  await Promise.all([api.ready('deaf'), api.ready('deafer')])
  const began = Date.now()
  api.delete('deaf')
  api.delete('deafer')
  await api.gone('deaf')
  expect(Date.now() - began).toBeGreaterThan(950)
  expect(api.statuses.get('deaf')?.at(-1)?.containerStatuses?.[0]?.state.terminated).toMatchObject({ exitCode: 137 })
  expect(api.find('deafer')).toBeDefined()
  api.delete('deafer', 0)
  await api.gone('deafer')
})

test('an object that is taken away at once takes its pod with it', async () => {
  api.set(testPod({ name: 'forced', node: one }))
  await api.ready('forced')
  const cgroup = podCgroup(one, api.get('forced').metadata.uid)
  api.remove('forced')
  // Nothing is reported any more; the next pod of the same name shows when the place is free.
  api.set(testPod({ name: 'forced', node: one }))
  await api.ready('forced')
  api.delete('forced')
  await api.gone('forced')
  await expect.poll(() => existsSync(cgroup), { timeout: 5000 }).toBe(false)
  expect(readdirSync(one.hostPath('/run/netns'))).toEqual([])
})

test('a container that ends is started again, with its former end in the status', async () => {
  api.set(testPod({ name: 'crash', node: one, container: { image: 'test/sh', args: ['echo run; exit 3'] } }))
  await api.until('two restarts', () => (state('crash')?.restartCount ?? 0) >= 2)
  expect(state('crash')?.lastState.terminated).toMatchObject({ exitCode: 3, reason: 'Error' })
  await api.until('back-off', () => state('crash')?.state.waiting?.reason === 'CrashLoopBackOff')
  expect(api.get('crash').status?.phase).toBe('Running')
  api.delete('crash')
  await api.gone('crash')
})

test('a failed liveness probe restarts the container, a startup probe holds readiness back', async () => {
  const container = {
    ...server,
    startupProbe: { ...httpGet('/healthz'), periodSeconds: 1 },
    livenessProbe: { ...httpGet('/healthz'), periodSeconds: 1, failureThreshold: 2 },
  }
  api.set(testPod({ name: 'alive', node: one, container }))
  await api.ready('alive')
  await get(one, `http://${api.get('alive').status?.podIP}:8080/ill`)
  await api.until('a restart', () => state('alive')?.restartCount === 1)
  expect(api.reasons('alive')).toContain('Killing')
  await api.ready('alive')
  api.delete('alive')
  await api.gone('alive')
})

test('init containers run first, one after the other, and jobs end', async () => {
  const init = (name: string, script: string) => ({
    name,
    image: 'test/sh',
    args: [script],
    volumeMounts: [{ name: 'work', mountPath: '/work' }],
  })
  const spec = {
    restartPolicy: 'Never',
    initContainers: [init('first', 'sleep 0.1; echo 1 >> /work/order'), init('second', 'echo 2 >> /work/order')],
    containers: [init('main', 'test "$(cat /work/order | tr -d "\\n")" = 12 || exit 9')],
    volumes: [{ name: 'work', emptyDir: {} }],
  }
  api.set(testPod({ name: 'job', node: one, spec }))
  await api.until('the job is done', () => api.get('job').status?.phase === 'Succeeded')
  const seen = api.statuses.get('job') ?? []
  expect(
    seen.some((s) => s.containerStatuses?.[0]?.state.waiting?.reason === 'PodInitializing' && s.initContainerStatuses?.[0]?.state.running),
  ).toBe(true)
  expect(api.get('job').status?.conditions?.find((c) => c.type === 'Ready')).toMatchObject({ status: 'False', reason: 'PodCompleted' })
  // Its network is given back while the object stays.
  await expect.poll(() => readdirSync(one.hostPath('/run/netns'))).toEqual([])
  api.delete('job')
  await api.gone('job')
  api.set(testPod({ name: 'failing', node: one, spec: { ...spec, initContainers: [init('first', 'exit 4')] } }))
  await api.until('it failed', () => api.get('failing').status?.phase === 'Failed')
  expect(state('failing')?.state.waiting?.reason).toBe('PodInitializing')
  api.delete('failing')
  await api.gone('failing')
})

test('a pod can be deleted while an init container runs, and while a container is being made', async () => {
  const initContainers = [{ name: 'first', image: 'test/sleep' }]
  api.set(testPod({ name: 'early', node: one, spec: { initContainers } }))
  await api.until('the init container runs', () => api.get('early').status?.initContainerStatuses?.[0]?.state.running !== undefined)
  api.delete('early')
  await api.gone('early')
  api.set(testPod({ name: 'brief', node: one }))
  await api.until('it has an address', () => api.get('brief').status?.podIP !== undefined)
  api.delete('brief')
  await api.gone('brief')
  for (const path of ['/run/netns', '/run/everyhop/stage', '/var/lib/kubelet/pods'])
    expect(readdirSync(one.hostPath(path)), path).toEqual([])
})

test('a sidecar starts before the containers and ends after them', async () => {
  const work = [{ name: 'work', mountPath: '/work' }]
  const sidecar = {
    name: 'side',
    image: 'test/sh',
    args: ['touch /work/side; trap "exit 0" TERM; sleep 1000 & wait'],
    restartPolicy: 'Always',
    volumeMounts: work,
  }
  const started = { ...sidecar, startupProbe: { exec: { command: ['test', '-e', '/work/side'] } } }
  const main = { name: 'main', image: 'test/sh', args: ['test -e /work/side'], volumeMounts: work }
  const spec = { restartPolicy: 'Never', initContainers: [started], containers: [main], volumes: [{ name: 'work', emptyDir: {} }] }
  api.set(testPod({ name: 'side', node: one, spec }))
  await api.until('it is done', () => api.get('side').status?.phase === 'Succeeded')
  expect(api.get('side').status?.initContainerStatuses?.[0]?.state.terminated).toMatchObject({ exitCode: 0 })
  api.delete('side')
  await api.gone('side')
})

test('an image that the node does not have is said, and started once it is there', async () => {
  api.set(testPod({ name: 'imageless', node: one, container: { image: 'test/new' } }))
  await api.until('the image is missed', () => state('imageless')?.state.waiting?.reason === 'ErrImageNeverPull')
  expect(state('imageless')?.state.waiting?.message).toContain('"test/new" is not present')
  kubelets[0]?.setImages(new Map([...testImages, ['test/new', testImages.get('test/sleep') as { argv: string[] }]]))
  await api.ready('imageless')
  api.delete('imageless')
  await api.gone('imageless')
})
