import { closeSync, fstatSync, openSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { RedirectedPod, Redirection } from '../redirect/redirection.ts'
import { defaultSelectors } from '../shared/eligibility.ts'
import type { AddEvent } from '../shared/event.ts'
import { memoryLog } from '../testing/namespace.ts'
import { Enroller } from './enroller.ts'
import type { Namespace } from './netns.ts'
import { type Pod, PodStore, redirectionAnnotation } from './pods.ts'

/** What was done, in order, as `verb uid detail`. */
let steps: string[]
let fail: (step: string) => boolean
let pods: PodStore
let enroller: Enroller
let log: ReturnType<typeof memoryLog>
let running: boolean
/** Whether namespaces hold something of the redirection. */
let marked: boolean
let waiting: (() => void)[]
/** Whether what the proxy carries goes on after its pod has left. */
let lingers: boolean

const ambient = { 'istio.io/dataplane-mode': 'ambient' }
const event: AddEvent = { Netns: '/var/run/netns/cni-1', PodName: 'web', PodNamespace: 'demo', IPs: [] }

function step(text: string): Promise<void> {
  steps.push(text)
  for (const look of [...waiting]) look()
  return fail(text) ? Promise.reject(new Error(`no ${text}`)) : Promise.resolve()
}

/** Resolves when `text` has been done `times` times. */
function done(text: string, times = 1): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (steps.filter((s) => s === text).length < times) return
      waiting = waiting.filter((w) => w !== look)
      resolve()
    }
    waiting.push(look)
    look()
  })
}

/** Everything that was started has ended. */
const idle = async () => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

function namespace(): Namespace {
  const fd = openSync('/proc/self/ns/net', 'r')
  const { ino, dev } = fstatSync(fd, { bigint: true })
  return { fd, ino, dev }
}

beforeEach(() => {
  steps = []
  waiting = []
  fail = () => false
  running = true
  marked = false
  lingers = false
  log = memoryLog()
  pods = new PodStore()
  const ips = (pod: Pick<RedirectedPod, 'ips'>) => pod.ips.join('+')
  const redirection: Redirection = {
    setupHost: () => step('setup'),
    teardownHost: () => step('teardown'),
    addPod: (pod) => step(`capture ${pod.uid}`),
    addRunningPod: (pod) => step(`capture ${pod.uid}`),
    podServed: (pod) => step(`served ${pod.uid} ${ips(pod)}`),
    stopCapture: (pod) => step(`uncapture ${pod.uid}`),
    endCapture: async () => lingers,
    removePod: (pod, alive) => step(`${alive ? 'free' : 'forget'} ${pod.uid}`),
    isMarked: async () => marked,
    reconcilePod: async (pod) => {
      await step(`verify ${pod.uid}`)
      return 'intact'
    },
    reconcileHost: (all, complete) => step(`host ${all.map((p) => p.uid).join('+')} ${complete}`),
  }
  enroller = new Enroller({
    pods,
    redirection,
    proxies: { add: (w) => step(`add ${w.uid}`), remove: (uid) => step(`del ${uid}`) },
    findNamespace: async (uid) => {
      await step(`find ${uid}`)
      return running ? namespace() : undefined
    },
    openNamespace: () => namespace(),
    annotate: (pod, state) => step(`annotate ${pod.uid} ${state}`),
    leaving: { peersMs: 0, inFlightMs: 0, lingerMs: 50 },
    rules: { selectors: defaultSelectors, excludeNamespaces: ['kube-system'], systemNamespace: 'istio-system' },
    log,
  })
  pods.putNamespace('demo', ambient)
})
afterEach(() => enroller.stop())

const pod = (more: Partial<Pod> = {}): Pod => ({
  uid: 'a',
  namespace: 'demo',
  name: 'web',
  serviceAccount: 'sa',
  labels: {},
  annotations: {},
  hostNetwork: false,
  deleting: false,
  terminal: false,
  ready: true,
  createdAt: '',
  env: {},
  ips: ['10.0.0.1'],
  ...more,
})
const enabled = { [redirectionAnnotation]: 'enabled' }
const enrolment = ['add a', 'capture a', 'served a 10.0.0.1', 'annotate a enabled']

test('a running pod: found, told to the proxy, captured, let be probed, annotated; later events do nothing more', async () => {
  await enroller.start()
  pods.putPod(pod())
  await done('annotate a enabled')
  expect(steps).toEqual(['host  true', 'find a', ...enrolment])
  pods.putPod(pod({ annotations: enabled }))
  await idle()
  expect(steps.slice(6)).toEqual(['served a 10.0.0.1'])
})

test('a pod that starts: by the runtime, before it has an address; the API comes after and changes nothing', async () => {
  await enroller.start()
  pods.putPod(pod({ ips: [] }))
  await idle()
  expect(steps).toEqual(['host  true'])
  await enroller.addFromRuntime(pod({ ips: [] }), event)
  expect(steps.slice(1)).toEqual(['capture a', 'add a', 'served a ', 'annotate a enabled'])
  pods.putPod(pod({ annotations: enabled }))
  await idle()
  expect(steps.slice(5)).toEqual(['served a 10.0.0.1'])
})

test('rules fail: at ADD nobody hears of the pod and the runtime is told; for a running pod it is tried until it works, and nobody says that it is enrolled', async () => {
  await enroller.start()
  fail = (s) => s === 'capture a'
  await expect(enroller.addFromRuntime(pod(), event)).rejects.toThrow('no capture a')
  expect(enroller.workloads()).toEqual([])
  expect(steps).not.toContain('add a')
  pods.putPod(pod())
  await done('capture a', 4)
  expect(steps.filter((s) => s.startsWith('annotate'))).toEqual([])
  fail = () => false
  await done('annotate a enabled')
})

test('the proxy fails: captured and pending, until it takes the pod', async () => {
  await enroller.start()
  fail = (s) => s === 'add a'
  await expect(enroller.addFromRuntime(pod({ ips: [] }), event)).rejects.toThrow('no add a')
  expect(steps.slice(1)).toEqual(['capture a', 'add a', 'annotate a pending'])
  expect(enroller.workloads()).toMatchObject([{ uid: 'a', info: { name: 'web', namespace: 'demo', serviceAccount: 'sa' } }])
  fail = () => false
  pods.putPod(pod({ ips: [], annotations: { [redirectionAnnotation]: 'pending' } }))
  await done('annotate a enabled')
})

test('the proxy fails for a running pod: captured and pending all the same', async () => {
  await enroller.start()
  fail = (s) => s === 'add a'
  pods.putPod(pod())
  await done('annotate a pending')
  expect(steps.slice(1)).toEqual(['find a', 'add a', 'capture a', 'annotate a pending'])
  fail = () => false
  await done('annotate a enabled')
})

test('a proxy that comes gets waiting pods at once', async () => {
  await enroller.start()
  fail = (s) => s === 'add a'
  await enroller.addFromRuntime(pod(), event).catch(() => {})
  fail = () => false
  pods.putPod(pod())
  enroller.proxyReady()
  await done('annotate a enabled')
})

test('the label goes: the annotation first, then no new connections, then set and rules, then the proxy; what fails is taken up again', async () => {
  await enroller.start()
  pods.putPod(pod())
  await done('annotate a enabled')
  steps = []
  fail = (s) => s === 'free a' && steps.filter((x) => x === s).length < 2
  pods.putPod(pod({ annotations: enabled, labels: { 'istio.io/dataplane-mode': 'none' } }))
  await done('del a')
  const leaving = ['annotate a null', 'uncapture a', 'free a']
  expect(steps).toEqual([...leaving, ...leaving, 'del a'])
  await idle()
  expect(enroller.workloads()).toEqual([])
})

test('what the proxy carries goes on: the proxy is told, and rules go some time after; a pod that is back by then keeps them', async () => {
  lingers = true
  marked = true
  await enroller.start()
  pods.putPod(pod())
  await done('annotate a enabled')
  const leave = () => pods.putPod(pod({ annotations: {}, labels: { 'istio.io/dataplane-mode': 'none' } }))
  steps = []
  leave()
  await done('free a')
  expect(steps).toEqual(['annotate a null', 'uncapture a', 'del a', 'find a', 'free a'])
  pods.putPod(pod())
  await done('annotate a enabled')
  leave()
  await done('del a', 2)
  steps = []
  pods.putPod(pod())
  await done('annotate a enabled')
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(steps).not.toContain('free a')
  expect(log.lines.filter((line) => line.includes('half captured'))).toEqual([])
})

test.each([
  ['deleted', () => pods.deletePod(pod())],
  ['finished', () => pods.putPod(pod({ terminal: true, annotations: enabled }))],
])('%s: out of the sets and the proxies, its namespace left alone', async (_, happen) => {
  await enroller.start()
  pods.putPod(pod())
  await done('annotate a enabled')
  steps = []
  happen()
  await done('del a')
  await idle()
  expect(steps).toEqual(['forget a', 'del a'])
})

test('deleted and made anew between two lists: the old one goes, the new one comes', async () => {
  await enroller.start()
  pods.putPod(pod())
  await done('annotate a enabled')
  pods.putPod(pod({ uid: 'b', ips: ['10.0.0.2'] }))
  await Promise.all([done('del a'), done('annotate b enabled')])
})

test('agent start: enrolled pods are verified and in the snapshot, nothing is annotated; who has no process yet is kept', async () => {
  pods.putPod(pod({ annotations: enabled }))
  pods.putPod(pod({ uid: 'z', namespace: 'istio-system', name: 'ztunnel-1', labels: { app: 'ztunnel' }, annotations: enabled }))
  pods.putPod(pod({ uid: 'j', name: 'job', terminal: true, annotations: enabled }))
  pods.putNamespace('istio-system', {})
  await enroller.start()
  expect(steps.slice(0, 3)).toEqual(['find a', 'verify a', 'host a true'])
  expect(enroller.workloads()).toMatchObject([{ uid: 'a', netns: expect.any(Number) }])
  await idle()
  expect(steps.filter((s) => /annotate a|add a/.test(s))).toEqual([])
})

test('agent start, pod without process: keep for the proxy, and enrolled when it runs', async () => {
  running = false
  pods.putPod(pod({ annotations: enabled, ips: [] }))
  await enroller.start()
  expect(steps).toEqual(['find a', 'host a false'])
  expect(enroller.workloads()).toEqual([{ uid: 'a', info: expect.anything(), netns: undefined }])
  running = true
  pods.putPod(pod({ annotations: enabled }))
  await done('annotate a enabled').catch(() => {})
  expect(enroller.workloads()).toMatchObject([{ uid: 'a', netns: expect.any(Number) }])
})

test('agent start: the label went while no agent was there', async () => {
  pods.putPod(pod({ annotations: enabled, labels: { 'istio.io/dataplane-mode': 'none' } }))
  await enroller.start()
  await done('del a')
  expect(steps.slice(-4)).toEqual(['annotate a null', 'uncapture a', 'free a', 'del a'])
})

test.each([
  ['captured and not annotated', true, ['find a', 'free a']],
  ['untouched', false, ['find a']],
])('agent start: a pod outside the mesh that a killed agent left %s', async (_, left, then) => {
  marked = left
  pods.putPod(pod({ labels: { 'istio.io/dataplane-mode': 'none' } }))
  await enroller.start()
  await idle()
  expect(steps).toEqual(['host  true', ...then])
  pods.putPod(pod({ labels: { 'istio.io/dataplane-mode': 'none', other: 'label' } }))
  await idle()
  expect(steps).toHaveLength(1 + then.length)
})

test('a namespace whose labels are not known is no reason to let a pod go', async () => {
  await enroller.start()
  pods.putPod(pod())
  await done('annotate a enabled')
  steps = []
  pods.deleteNamespace('demo')
  pods.putPod(pod({ annotations: enabled }))
  await idle()
  expect(steps).toEqual([])
})

test('no descriptor is left behind', async () => {
  const count = () => {
    const probe = openSync('/dev/null', 'r')
    closeSync(probe)
    return probe
  }
  const before = count()
  await enroller.start()
  for (let i = 0; i < 5; i++) {
    await enroller.addFromRuntime(pod(), event)
    await enroller.addFromRuntime(pod(), event)
    pods.putPod(pod({ annotations: enabled }))
    pods.putPod(pod({ annotations: enabled, labels: { 'istio.io/dataplane-mode': 'none' } }))
    await done('del a', i + 1)
    await idle()
    fail = (s) => s === 'capture a'
    await enroller.addFromRuntime(pod(), event).catch(() => {})
    fail = () => false
  }
  expect(count()).toBe(before)
})
