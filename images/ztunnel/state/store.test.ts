import { expect, test, vi } from 'vitest'
import { mesh, smallMesh } from '../testbed/mesh.ts'
import { parseLocalState } from './local-schema.ts'
import { MeshState } from './store.ts'

test('replace removes what is gone from every index and keeps what did not change', () => {
  const state = mesh(smallMesh)
  const sleep = state.workloads.get('sleep')
  state.replace(
    parseLocalState(
      'workloads: [{ uid: sleep, name: sleep, namespace: demo, serviceAccount: sleep, workloadIps: [10.0.0.1], protocol: HBONE, node: n1 }]',
      't',
    ),
  )
  expect(state.workloads.get('sleep')).toBe(sleep)
  expect(state.workloadAt('', '10.0.0.2')).toBeUndefined()
  expect(state.workloadNamed({ namespace: 'demo', name: 'httpbin', serviceAccount: 'httpbin' })).toBeUndefined()
  expect(state.serviceAt('', '10.96.0.80')).toBeUndefined()
  expect(state.servicesWithHost('httpbin.demo.svc.cluster.local')).toEqual([])
  expect(state.endpointsOf('demo/httpbin.demo.svc.cluster.local').size).toBe(0)
  state.replace({ workloads: [], services: [], policies: [] })
  for (const index of [state.workloads, state.services, state.policies]) expect(index.size).toBe(0)
  expect([...state.staged()]).toEqual([])
})

test('endpoints may come before their service', () => {
  const state = mesh('workloads: [{ uid: a, name: a, namespace: d, services: { d/later: { 80: 8080 } } }]')
  expect([...state.staged()].map(([key]) => key)).toEqual(['d/later'])
})

test('an address of the host’s network belongs to a pod of its own first', () => {
  const state = mesh(`
workloads:
  - { uid: host, name: host, namespace: d, workloadIps: [10.0.0.1], networkMode: HostNetwork }
  - { uid: pod, name: pod, namespace: d, workloadIps: [10.0.0.1] }`)
  expect(state.workloadAt('', '10.0.0.1')?.uid).toBe('pod')
})

test('a pod is found by what the agent calls it, service account included', async () => {
  const state = new MeshState()
  const name = { namespace: 'd', name: 'a', serviceAccount: 'sa' }
  const waiting = state.waitFor(() => state.workloadNamed(name), 5000)
  state.replace(parseLocalState('workloads: [{ uid: a, name: a, namespace: d, serviceAccount: other }]', 't'))
  state.replace(parseLocalState('workloads: [{ uid: b, name: a, namespace: d, serviceAccount: sa }]', 't'))
  expect((await waiting)?.uid).toBe('b')
  expect(state.listenerCount('changed')).toBe(0)
})

test('waiting ends after its time, or when the proxy stops, and leaves nothing behind', async () => {
  vi.useFakeTimers()
  const state = new MeshState()
  const name = { namespace: 'd', name: 'a', serviceAccount: 'sa' }
  const late = state.waitFor(() => state.workloadNamed(name), 5000)
  await vi.advanceTimersByTimeAsync(5000)
  expect(await late).toBeUndefined()
  const stop = new AbortController()
  const stopped = state.waitFor(() => state.workloadNamed(name), 5000, stop.signal)
  stop.abort()
  expect(await stopped).toBeUndefined()
  expect(state.listenerCount('changed')).toBe(0)
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})
