import { describe, expect, test } from 'vitest'
import { chooseEndpoint } from './balance.ts'
import { isSelfCall, route } from './route.ts'
import { mesh, smallMesh } from './testbed/mesh.ts'

const state = mesh(smallMesh)
const source = state.workloads.get('sleep')!
const httpbin = 'spiffe://cluster.local/ns/demo/sa/httpbin'

const go = (address: string, port: number, from = 'sleep', random = 0) => {
  const workload = state.workloads.get(from)!
  const chosen = route(
    state,
    { source: workload, sourceIp: workload.workloadIps[0]!, target: { address, port }, direct: false },
    () => random,
  )
  return 'destination' in chosen
    ? { ...chosen, destination: chosen.destination?.uid, service: chosen.service?.name }
    : { ...chosen, service: chosen.service?.name }
}

describe('where an outbound connection goes', () => {
  test.each([
    [
      'a mesh pod',
      '10.0.0.2',
      8080,
      {
        kind: 'hbone',
        to: { address: '10.0.0.2', port: 15008 },
        authority: '10.0.0.2:8080',
        identities: [httpbin],
        destination: 'httpbin',
      },
    ],
    ['a mesh pod by IPv6', 'fd00::2', 8080, { kind: 'hbone', to: { address: 'fd00::2', port: 15008 }, authority: '[fd00::2]:8080' }],
    ['a pod outside the mesh', '10.0.0.4', 8080, { kind: 'tcp', to: { address: '10.0.0.4', port: 8080 }, destination: 'plain' }],
    ['an unknown address', '192.0.2.1', 443, { kind: 'tcp', to: { address: '192.0.2.1', port: 443 } }],
    ['a service of mesh pods', '10.96.0.80', 80, { kind: 'hbone', authority: '10.0.0.2:8080', service: 'httpbin' }],
    ['a service by its IPv6 address', 'fd00:96::80', 80, { kind: 'hbone', authority: '[fd00::2]:8080', service: 'httpbin' }],
    ['a service of plain pods', '10.96.0.81', 80, { kind: 'tcp', to: { address: '10.0.0.4', port: 8080 }, service: 'plain' }],
    [
      'a port that the service does not have',
      '10.96.0.80',
      81,
      { kind: 'refuse', error: 'no healthy upstream: demo/httpbin.demo.svc.cluster.local:81' },
    ],
    [
      'a service whose pods are all unhealthy',
      '10.96.0.83',
      80,
      { kind: 'refuse', error: 'no healthy upstream: demo/empty.demo.svc.cluster.local:80' },
    ],
    [
      'a named port that no endpoint resolves',
      '10.96.0.87',
      80,
      { kind: 'refuse', error: 'no healthy upstream: demo/named.demo.svc.cluster.local:80' },
    ],
    [
      'a service in passthrough mode without endpoints',
      '10.96.0.84',
      80,
      { kind: 'tcp', to: { address: '10.96.0.84', port: 80 }, service: 'pass' },
    ],
    ['an unhealthy pod by its address', '10.0.0.8', 80, { kind: 'hbone', authority: '10.0.0.8:80' }],
    [
      'a service with a waypoint',
      '10.96.0.82',
      80,
      { kind: 'refuse', error: expect.stringMatching(/^unknown waypoint: demo\/waypoint\.demo\.svc\.cluster\.local: .*does not go past/) },
    ],
    ['a pod with a waypoint', '10.0.0.6', 80, { kind: 'refuse', error: expect.stringMatching(/^unknown waypoint: /) }],
    [
      'an endpoint in another network',
      '10.96.0.86',
      80,
      { kind: 'refuse', error: expect.stringMatching(/^unknown network gateway: far /) },
    ],
    ['an address of another network only', '10.0.0.5', 80, { kind: 'tcp', to: { address: '10.0.0.5', port: 80 } }],
  ])('%s', (_name, address, port, expected) => expect(go(address, port)).toMatchObject(expected))

  test('a passthrough has no destination', () => expect(go('192.0.2.1', 443)).not.toHaveProperty('destination'))

  test('the waypoint itself goes straight to what is behind it', () => {
    expect(go('10.0.0.6', 80, 'waypoint')).toMatchObject({ kind: 'hbone', authority: '10.0.0.6:80' })
  })

  test('endpoints are picked by chance, each on its own target port', () => {
    expect(go('10.96.0.80', 80, 'sleep', 0.49)).toMatchObject({ authority: '10.0.0.2:8080' })
    expect(go('10.96.0.80', 80, 'sleep', 0.51)).toMatchObject({ authority: '10.0.0.3:8081' })
  })
})

describe('load balancing', () => {
  const balanced = (balancer: string, capacities = [1, 1, 1]) =>
    mesh(`
workloads:
  - { uid: a, name: a, namespace: d, workloadIps: [10.0.0.1], node: n1, locality: { region: r1, zone: z1 }, capacity: ${capacities[0]}, services: { d/s: { 80: 1 } } }
  - { uid: b, name: b, namespace: d, workloadIps: [10.0.0.2], node: n2, locality: { region: r1, zone: z2 }, capacity: ${capacities[1]}, services: { d/s: { 80: 1 } } }
  - { uid: c, name: c, namespace: d, workloadIps: [10.0.0.3], node: n3, locality: { region: r2, zone: z1 }, capacity: ${capacities[2]}, status: Unhealthy, services: { d/s: { 80: 1 } } }
services: [{ name: s, namespace: d, hostname: s, vips: [/10.96.0.1], ports: { 80: 1 }, loadBalancer: ${balancer} }]`)
  const picks = (balancer: string, capacities?: number[]) => {
    const m = balanced(balancer, capacities)
    const from = { ...m.workloads.get('a')!, uid: 'x', node: 'n9' }
    return [0, 0.26, 0.34, 0.51, 0.74, 0.99].map((r) => chooseEndpoint(m, m.services.get('d/s')!, 80, from, () => r)?.workload.uid).join('')
  }
  test.each([
    ['{}', undefined, 'aaabbb'],
    ['{ healthPolicy: AllowAll }', undefined, 'aabbcc'],
    ['{}', [3, 1, 1], 'aaaaab'],
    ['{}', [0, 1, 1], 'bbbbbb'],
    ['{ mode: Strict, routingPreferences: [Region, Zone] }', undefined, 'aaaaaa'],
    ['{ mode: Strict, routingPreferences: [Node] }', undefined, ''],
    ['{ mode: Failover, routingPreferences: [Region, Zone, Node] }', undefined, 'aaaaaa'],
    ['{ mode: Failover, routingPreferences: [Node] }', undefined, 'aaabbb'],
  ])('%s capacities %s', (balancer, capacities, expected) => expect(picks(balancer, capacities)).toBe(expected))
})

test.each([
  ['10.0.0.1', 15006, false, true],
  ['10.0.0.1', 15008, false, true],
  ['127.0.0.1', 15001, false, true],
  ['127.1.2.3', 15001, false, true],
  ['::1', 15001, false, true],
  ['10.9.9.9', 15001, true, true],
  ['10.0.0.2', 15008, false, false],
  ['10.0.0.1', 8080, false, false],
  ['10.0.0.1', 8080, true, false],
])('self call: %s port %d, direct %s: %s', (address, port, direct, expected) => {
  expect(isSelfCall({ source, sourceIp: '10.0.0.1', target: { address, port }, direct })).toBe(expected)
})
