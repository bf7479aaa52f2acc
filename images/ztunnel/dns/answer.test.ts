import { expect, test } from 'vitest'
import { mesh, smallMesh } from '../testbed/mesh.ts'
import { lookUp } from './answer.ts'
import { aliases, parseResolvConf, withWildcards } from './names.ts'

const state = mesh(
  smallMesh.replace(
    'services:\n  - { name: httpbin,',
    `services:
  - { name: wild, namespace: demo, hostname: '*.example.com', vips: [/10.96.1.1], ports: { 80: 80 } }
  - { name: secret, namespace: other, hostname: secret.example.org, vips: [/10.96.1.2], ports: { 80: 80 }, visibility: Namespace }
  - { name: httpbin,`,
  ),
)
const ask = (name: string, type: 'A' | 'AAAA' = 'A', from = 'sleep') =>
  lookUp(
    state,
    {
      workload: state.workloads.get(from)!,
      domain: 'cluster.local',
      search: ['istio-system.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
    },
    name,
    type,
  )

test.each([
  ['httpbin.demo.svc.cluster.local', { addresses: ['10.96.0.80'] }],
  ['HTTPBIN.demo.svc.cluster.local.', { addresses: ['10.96.0.80'] }],
  ['httpbin.demo.svc', { addresses: ['10.96.0.80'] }],
  ['httpbin.demo', { addresses: ['10.96.0.80'] }],
  ['httpbin', { addresses: ['10.96.0.80'] }],
  ['plain.other', { addresses: ['10.96.0.81'] }],
  ['plain', undefined],
  ['httpbin.demo.svc.cluster.local.demo.svc.cluster.local', { addresses: ['10.96.0.80'], canonical: 'httpbin.demo.svc.cluster.local' }],
  ['httpbin.demo.svc.cluster.local.svc.cluster.local', { addresses: ['10.96.0.80'], canonical: 'httpbin.demo.svc.cluster.local' }],
  ['heads.demo.svc.cluster.local', { addresses: ['10.0.0.2', '10.0.0.3'] }],
  ['www.example.com', { addresses: ['10.96.1.1'] }],
  ['a.b.example.com', { addresses: ['10.96.1.1'] }],
  ['example.com', undefined],
  ['secret.example.org', undefined],
  ['example.org', undefined],
  ['far.demo.svc.cluster.local', { addresses: ['10.96.0.86'] }],
  ['', undefined],
])('%s', (name, expected) => expect(ask(name)).toEqual(expected))

test('the other family: an answer without addresses, not another name server’s', () => {
  expect(ask('httpbin.demo', 'AAAA')).toEqual({ addresses: ['fd00:96::80'] })
  expect(ask('plain.other', 'AAAA')).toEqual({ addresses: [] })
  expect(ask('heads.demo', 'AAAA')).toEqual({ addresses: ['fd00::2'] })
})

test('a service that only its namespace may see', () => {
  expect(ask('secret.example.org', 'A', 'plain')).toEqual({ addresses: ['10.96.1.2'] })
})

test('names', () => {
  expect(aliases('a.b', 'ns', 'cluster.local', []).map((a) => a.name)).toEqual(['a.b', 'a.b.svc.cluster.local'])
  expect(withWildcards('a.b.c')).toEqual(['a.b.c', '*.b.c', '*.c'])
  expect(parseResolvConf('# x\nnameserver 10.96.0.10 # y\nnameserver ::1\nsearch A.b  c.d.\noptions ndots:5\n')).toEqual({
    nameservers: ['10.96.0.10', '::1'],
    search: ['a.b', 'c.d'],
  })
})
