import { afterEach, beforeEach, expect, test } from 'vitest'
import { enabled, idle, pod, World } from './enroller-testing.ts'

let w: World
beforeEach(() => {
  w = new World()
})
afterEach(() => w.enroller.stop())

test('agent start: enrolled pods are verified and in the snapshot, nothing is annotated; who has no process yet is kept', async () => {
  w.pods.putPod(pod({ annotations: enabled }))
  w.pods.putPod(pod({ uid: 'z', namespace: 'istio-system', name: 'ztunnel-1', labels: { app: 'ztunnel' }, annotations: enabled }))
  w.pods.putPod(pod({ uid: 'j', name: 'job', terminal: true, annotations: enabled }))
  w.pods.putNamespace('istio-system', {})
  await w.enroller.start()
  expect(w.steps.slice(0, 3)).toEqual(['find a', 'verify a', 'host a true'])
  expect(w.enroller.workloads()).toMatchObject([{ uid: 'a', netns: expect.any(Number) }])
  await idle()
  expect(w.steps.filter((s) => /annotate a|add a/.test(s))).toEqual([])
})

test('agent start, pod without process: keep for the proxy, and enrolled when it runs', async () => {
  w.running = false
  w.pods.putPod(pod({ annotations: enabled, ips: [] }))
  await w.enroller.start()
  expect(w.steps).toEqual(['find a', 'host a false'])
  expect(w.enroller.workloads()).toEqual([{ uid: 'a', info: expect.anything(), netns: undefined }])
  w.running = true
  w.pods.putPod(pod({ annotations: enabled }))
  await w.done('annotate a enabled').catch(() => {})
  expect(w.enroller.workloads()).toMatchObject([{ uid: 'a', netns: expect.any(Number) }])
})

test('agent start: the label went while no agent was there', async () => {
  w.pods.putPod(pod({ annotations: enabled, labels: { 'istio.io/dataplane-mode': 'none' } }))
  await w.enroller.start()
  await w.done('del a')
  expect(w.steps.slice(-4)).toEqual(['annotate a null', 'uncapture a', 'free a', 'del a'])
})

test.each([
  ['captured and not annotated', true, ['find a', 'free a']],
  ['untouched', false, ['find a']],
])('agent start: a pod outside the mesh that a killed agent left %s', async (_, left, then) => {
  w.marked = left
  w.pods.putPod(pod({ labels: { 'istio.io/dataplane-mode': 'none' } }))
  await w.enroller.start()
  await idle()
  expect(w.steps).toEqual(['host  true', ...then])
  w.pods.putPod(pod({ labels: { 'istio.io/dataplane-mode': 'none', other: 'label' } }))
  await idle()
  expect(w.steps).toHaveLength(1 + then.length)
})
