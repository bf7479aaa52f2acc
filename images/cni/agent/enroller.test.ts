import { closeSync, openSync } from 'node:fs'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { redirectionAnnotation } from '../shared/eligibility.ts'
import type { AddEvent } from '../shared/event.ts'
import { enabled, idle, lingerMs, pod, World } from './enroller-testing.ts'

const event: AddEvent = { Netns: '/var/run/netns/cni-1', PodName: 'web', PodNamespace: 'demo', IPs: [] }
const enrolment = ['add a', 'capture a', 'served a 10.0.0.1', 'annotate a enabled']

let w: World
beforeEach(() => {
  w = new World()
})
afterEach(() => {
  w.enroller.stop()
  vi.useRealTimers()
})

test('a running pod: found, told to the proxy, captured, let be probed, annotated; later events do nothing more', async () => {
  await w.enroller.start()
  w.pods.putPod(pod())
  await w.done('annotate a enabled')
  expect(w.steps).toEqual(['host  true', 'find a', ...enrolment])
  w.pods.putPod(pod({ annotations: enabled }))
  await idle()
  expect(w.steps.slice(6)).toEqual(['served a 10.0.0.1'])
})

test('a pod that starts: by the runtime, before it has an address; the API comes after and changes nothing', async () => {
  await w.enroller.start()
  w.pods.putPod(pod({ ips: [] }))
  await idle()
  expect(w.steps).toEqual(['host  true'])
  await w.enroller.addFromRuntime(pod({ ips: [] }), event)
  expect(w.steps.slice(1)).toEqual(['capture a', 'add a', 'served a ', 'annotate a enabled'])
  w.pods.putPod(pod({ annotations: enabled }))
  await idle()
  expect(w.steps.slice(5)).toEqual(['served a 10.0.0.1'])
})

test('rules fail: at ADD nobody hears of the pod and the runtime is told; for a running pod it is tried until it works, and nobody says that it is enrolled', async () => {
  await w.enroller.start()
  w.fail = (s) => s === 'capture a'
  await expect(w.enroller.addFromRuntime(pod(), event)).rejects.toThrow('no capture a')
  expect(w.enroller.workloads()).toEqual([])
  expect(w.steps).not.toContain('add a')
  w.pods.putPod(pod())
  await w.done('capture a', 4)
  expect(w.steps.filter((s) => s.startsWith('annotate'))).toEqual([])
  w.fail = () => false
  await w.done('annotate a enabled')
})

test('the proxy fails: captured and pending, until it takes the pod', async () => {
  await w.enroller.start()
  w.fail = (s) => s === 'add a'
  await expect(w.enroller.addFromRuntime(pod({ ips: [] }), event)).rejects.toThrow('no add a')
  expect(w.steps.slice(1)).toEqual(['capture a', 'add a', 'annotate a pending'])
  expect(w.enroller.workloads()).toMatchObject([{ uid: 'a', info: { name: 'web', namespace: 'demo', serviceAccount: 'sa' } }])
  w.fail = () => false
  w.pods.putPod(pod({ ips: [], annotations: { [redirectionAnnotation]: 'pending' } }))
  await w.done('annotate a enabled')
})

test('the proxy fails for a running pod: captured and pending all the same', async () => {
  await w.enroller.start()
  w.fail = (s) => s === 'add a'
  w.pods.putPod(pod())
  await w.done('annotate a pending')
  expect(w.steps.slice(1)).toEqual(['find a', 'add a', 'capture a', 'annotate a pending'])
  w.fail = () => false
  await w.done('annotate a enabled')
})

test('a proxy that comes gets waiting pods at once', async () => {
  await w.enroller.start()
  w.fail = (s) => s === 'add a'
  await w.enroller.addFromRuntime(pod(), event).catch(() => {})
  w.fail = () => false
  w.pods.putPod(pod())
  w.enroller.proxyReady()
  await w.done('annotate a enabled')
})

test('the label goes: the annotation first, then no new connections, then set and rules, then the proxy; what fails is taken up again', async () => {
  await w.enroller.start()
  w.pods.putPod(pod())
  await w.done('annotate a enabled')
  w.steps = []
  w.fail = (s) => s === 'free a' && w.steps.filter((x) => x === s).length < 2
  w.pods.putPod(pod({ annotations: enabled, labels: { 'istio.io/dataplane-mode': 'none' } }))
  await w.done('del a')
  const leaving = ['annotate a null', 'uncapture a', 'free a']
  expect(w.steps).toEqual([...leaving, ...leaving, 'del a'])
  await idle()
  expect(w.enroller.workloads()).toEqual([])
})

test('what the proxy carries goes on: the proxy is told, and rules go some time after; a pod that is back by then keeps them', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  w.lingers = true
  w.marked = true
  await w.enroller.start()
  w.pods.putPod(pod())
  await w.done('annotate a enabled')
  const leave = () => w.pods.putPod(pod({ annotations: {}, labels: { 'istio.io/dataplane-mode': 'none' } }))
  w.steps = []
  leave()
  await w.done('del a')
  await idle()
  vi.advanceTimersByTime(lingerMs - 1)
  await idle()
  expect(w.steps).toEqual(['annotate a null', 'uncapture a', 'del a'])
  vi.advanceTimersByTime(1)
  await w.done('free a')
  expect(w.steps.slice(3)).toEqual(['find a', 'free a'])
  w.pods.putPod(pod())
  await w.done('annotate a enabled')
  leave()
  await w.done('del a', 2)
  await idle()
  w.steps = []
  w.pods.putPod(pod())
  await w.done('annotate a enabled')
  expect(vi.getTimerCount()).toBe(0)
  vi.advanceTimersByTime(lingerMs)
  await idle()
  expect(w.steps).not.toContain('free a')
  expect(w.log.lines.filter((line) => line.includes('half captured'))).toEqual([])
})

test.each([
  ['deleted', () => w.pods.deletePod(pod())],
  ['finished', () => w.pods.putPod(pod({ terminal: true, annotations: enabled }))],
])('%s: out of the sets and the proxies, its namespace left alone', async (_, happen) => {
  await w.enroller.start()
  w.pods.putPod(pod())
  await w.done('annotate a enabled')
  w.steps = []
  happen()
  await w.done('del a')
  await idle()
  expect(w.steps).toEqual(['forget a', 'del a'])
})

test('deleted and made anew between two lists: the old one goes, the new one comes', async () => {
  await w.enroller.start()
  w.pods.putPod(pod())
  await w.done('annotate a enabled')
  w.pods.putPod(pod({ uid: 'b', ips: ['10.0.0.2'] }))
  await Promise.all([w.done('del a'), w.done('annotate b enabled')])
})

test('a namespace whose labels are not known is no reason to let a pod go', async () => {
  await w.enroller.start()
  w.pods.putPod(pod())
  await w.done('annotate a enabled')
  w.steps = []
  w.pods.deleteNamespace('demo')
  w.pods.putPod(pod({ annotations: enabled }))
  await idle()
  expect(w.steps).toEqual([])
})

test('no descriptor is left behind', async () => {
  const count = () => {
    const probe = openSync('/dev/null', 'r')
    closeSync(probe)
    return probe
  }
  const before = count()
  await w.enroller.start()
  for (let i = 0; i < 5; i++) {
    await w.enroller.addFromRuntime(pod(), event)
    await w.enroller.addFromRuntime(pod(), event)
    w.pods.putPod(pod({ annotations: enabled }))
    w.pods.putPod(pod({ annotations: enabled, labels: { 'istio.io/dataplane-mode': 'none' } }))
    await w.done('del a', i + 1)
    await idle()
    w.fail = (s) => s === 'capture a'
    await w.enroller.addFromRuntime(pod(), event).catch(() => {})
    w.fail = () => false
  }
  expect(count()).toBe(before)
})
