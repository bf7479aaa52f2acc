import { expect, test } from 'vitest'
import { guessService, inboundTarget } from './target.ts'
import { mesh, smallMesh } from './testbed/mesh.ts'

const state = mesh(smallMesh)
const at = (uid: string, authority: string) => {
  const workload = state.workloads.get(uid)!
  const found = inboundTarget(state, workload, workload.workloadIps[0]!, authority)
  return found.error === undefined ? { to: found.to, services: found.services.map((s) => s.name) } : found
}

test.each([
  ['httpbin', '10.0.0.2:8080', { to: { address: '10.0.0.2', port: 8080 }, services: ['httpbin', 'heads'] }],
  ['httpbin', '[::ffff:10.0.0.2]:8080', { to: { address: '10.0.0.2', port: 8080 } }],
  ['httpbin', '10.0.0.3:8080', { status: 400, error: 'ip mismatch: 10.0.0.2 != 10.0.0.3' }],
  ['httpbin', '10.96.0.80:80', { status: 400, error: 'ip mismatch: 10.0.0.2 != 10.96.0.80' }],
  ['httpbin', '127.0.0.1:8080', { status: 400, error: 'ip mismatch: 10.0.0.2 != 127.0.0.1' }],
  ['httpbin', '10.0.0.2:15001', { status: 503, error: 'attempted recursive call to ourselves' }],
  ['httpbin', '10.0.0.2:15006', { status: 503, error: 'attempted recursive call to ourselves' }],
  ['httpbin', '10.0.0.2:15008', { status: 503, error: 'attempted recursive call to ourselves' }],
  ['httpbin', 'httpbin.demo.svc.cluster.local:80', { to: { address: '10.0.0.2', port: 8080 }, services: ['httpbin'] }],
  ['httpbin-2', 'HTTPBIN.demo.svc.cluster.local:80', { to: { address: '10.0.0.3', port: 8081 } }],
  [
    'httpbin',
    'httpbin.demo.svc.cluster.local:81',
    { status: 503, error: 'no valid target port for workload: httpbin.demo.svc.cluster.local:81' },
  ],
  ['httpbin', 'nowhere:80', { status: 503, error: 'unknown destination: no service has the hostname nowhere' }],
  ['httpbin', '', { status: 400, error: 'invalid CONNECT address ""' }],
  ['httpbin', '10.0.0.2', { status: 400, error: 'invalid CONNECT address "10.0.0.2"' }],
  ['httpbin', '10.0.0.2:0', { status: 400 }],
  ['httpbin', '10.0.0.2:65536', { status: 400 }],
  ['httpbin', '10.0.0.2:80/x', { status: 400 }],
  ['httpbin', 'user@10.0.0.2:80', { status: 400 }],
  ['httpbin', '[10.0.0.2:80', { status: 400 }],
  ['httpbin', '10.0.0.256:80', { status: 400 }],
  ['httpbin', 'a b:80', { status: 400 }],
  ['waypoint', '10.96.0.82:80', { to: { address: '10.0.0.7', port: 80 } }],
  ['waypoint', '10.0.0.6:80', { to: { address: '10.0.0.7', port: 80 } }],
  ['waypoint', '10.96.0.80:80', { status: 400 }],
])('CONNECT to %s for %s', (uid, authority, expected) => expect(at(uid, authority)).toMatchObject(expected))

test('a very long authority is cut in the error', () => {
  expect(JSON.stringify(at('httpbin', 'x'.repeat(10_000))).length).toBeLessThan(400)
})

test('the service of an inbound connection: the one that the client named if it is ours, else by port', () => {
  const workload = state.workloads.get('httpbin')!
  const services = state.servicesOf(workload)
  expect(guessService(state, workload, services, 8080)?.name).toBe('httpbin')
  expect(guessService(state, workload, services, 8080, 'heads.demo.svc.cluster.local')?.name).toBe('heads')
  expect(guessService(state, workload, services, 8080, 'plain.other.svc.cluster.local')?.name).toBe('httpbin')
  expect(guessService(state, workload, services, 9999)).toBeUndefined()
})
