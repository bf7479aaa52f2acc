import { expect, test } from 'vitest'
import { parseLocalState } from './local-schema.ts'

test('a minimal workload gets upstream’s defaults', () => {
  const { workloads } = parseLocalState(
    'workloads: [{ uid: u, name: n, namespace: ns, workloadIps: ["::FFFF:10.0.0.1", "FD00:0::1"] }]',
    'f',
  )
  expect(workloads[0]).toMatchObject({
    workloadIps: ['10.0.0.1', 'fd00::1'],
    protocol: 'TCP',
    serviceAccount: 'default',
    trustDomain: 'cluster.local',
    clusterId: 'Kubernetes',
    capacity: 1,
    status: 'Healthy',
    networkMode: 'Standard',
    services: {},
  })
})

test('an empty file is an empty mesh', () => {
  expect(parseLocalState('', 'f')).toEqual({ workloads: [], services: [], policies: [] })
})

test.each([
  ['workloads: [', /^f: .*/],
  ['- a', /^f: top level: /],
  ['polices: []', /^f: top level: unknown field "polices"$/],
  ['workloads: [{ uid: u, name: n, namespace: ns, nodeName: x }]', /^f: workloads\[0\]: unknown field "nodeName"$/],
  ['workloads: [{ uid: u, name: n }]', /^f: workloads\[0\]\.namespace: /],
  [
    'workloads: [{ uid: u, name: n, namespace: ns, workloadIps: [nowhere] }]',
    /^f: workloads\[0\]\.workloadIps\[0\]: expected an IP address$/,
  ],
  ['workloads: [{ uid: u, name: n, namespace: ns, protocol: hbone }]', /^f: workloads\[0\]\.protocol: .*"HBONE"\|"TCP"/],
  ['workloads: [{ uid: u, name: n, namespace: ns, services: { a: { 80: 80 } } }]', /^f: workloads\[0\]\.services\.a: .*namespace/],
  [
    'workloads: [{ uid: u, name: n, namespace: ns, services: { a/b: { http: 80 } } }]',
    /^f: workloads\[0\]\.services\.a\/b\.http: .*port number/,
  ],
  [
    'workloads: [{ uid: u, name: n, namespace: a }, { uid: u, name: m, namespace: a }]',
    /^f: workloads\[1\]: u is there already as workloads\[0\]$/,
  ],
  [
    'services: [{ name: s, namespace: a, hostname: h, vips: [10.0.0.1], ports: {} }]',
    /^f: services\[0\]\.vips\[0\]: expected "<network>\/<ip>"/,
  ],
  [
    'policies: [{ name: p, namespace: a, scope: Namespace, action: Allow, rules: [[[{ sourceIps: [10.0.0.0/33] }]]] }]',
    /^f: policies\[0\]\.rules\[0\]\[0\]\[0\]\.sourceIps\[0\]: expected an address or a CIDR/,
  ],
  [
    'policies: [{ name: p, namespace: a, scope: Namespace, action: Allow, rules: [[[{ principals: [x] }]]] }]',
    /principals\[0\]: expected \{Exact: x\}/,
  ],
  ['policies: [{ name: p, namespace: a, scope: Namespace, action: Audit, rules: [] }]', /^f: policies\[0\]\.action: /],
  ['policies: [{ name: p, namespace: a, scope: Namespace, action: Deny, rules: [[[{ principal: [] }]]] }]', /unknown field "principal"$/],
])('refused: %s', (yaml, message) => expect(() => parseLocalState(yaml, 'f')).toThrow(message))
