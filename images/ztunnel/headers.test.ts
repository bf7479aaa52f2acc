import { expect, test } from 'vitest'
import { baggage, connectHeaders, forwardedHost } from './headers.ts'
import { mesh, smallMesh } from './testbed/mesh.ts'

const state = mesh(`
workloads:
  - uid: w
    name: sleep-1
    namespace: demo
    workloadIps: [10.0.0.1]
    clusterId: Kubernetes
    workloadType: deployment
    workloadName: sleep
    canonicalName: sleep
    canonicalRevision: v1
    locality: { region: r, zone: z }
  - { uid: bare, name: bare, namespace: demo }`)

test('baggage: the members in upstream’s order, empty ones left out', () => {
  expect(baggage(state.workloads.get('w')!)).toBe(
    'k8s.cluster.name=Kubernetes,k8s.namespace.name=demo,k8s.deployment.name=sleep,service.name=sleep,service.version=v1,cloud.region=r,cloud.availability_zone=z',
  )
  expect(baggage(state.workloads.get('bare')!)).toBe('k8s.cluster.name=Kubernetes,k8s.namespace.name=demo')
})

test('headers of a CONNECT', () => {
  const service = mesh(smallMesh).services.get('demo/httpbin.demo.svc.cluster.local')
  const source = state.workloads.get('w')!
  const headers = connectHeaders(source, { address: '10.0.0.1', port: 4242 }, service)
  expect(Object.keys(headers)).toEqual(['baggage', 'forwarded', 'traceparent'])
  expect(headers.forwarded).toBe('for="10.0.0.1:4242";host=httpbin.demo.svc.cluster.local')
  expect(headers.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
  expect(connectHeaders(source, { address: 'fd00::1', port: 1 }, undefined).forwarded).toBe('for="[fd00::1]:1"')
  expect(connectHeaders(source, { address: 'fd00::1', port: 1 }, undefined).traceparent).not.toBe(headers.traceparent)
})

test.each([
  ['for="10.0.0.1:4242";host=a.b', 'a.b'],
  ['for=x; Host="a.b"', 'a.b'],
  ['host=a, host=b', 'a'],
  ['for=x;ghost=y', undefined],
  ['', undefined],
  [undefined, undefined],
])('host of Forwarded %s', (header, host) => expect(forwardedHost(header)).toBe(host))
