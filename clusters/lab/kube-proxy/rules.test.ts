import { describe, expect, test } from 'vitest'
import type { Endpoint, EndpointSlice, Service } from '../../kubernetes.ts'
import { endpointsOf, proxyRules, restoreText } from './rules.ts'

const service = (namespace: string, name: string, clusterIP: string, ports: Service['spec']['ports']): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace },
  spec: { clusterIP, ...(ports ? { ports } : {}) },
})

const slice = (namespace: string, name: string, endpoints: (string | Endpoint)[], ports: EndpointSlice['ports']): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: `${name}-x`, namespace, labels: { 'kubernetes.io/service-name': name } },
  addressType: 'IPv4',
  endpoints: endpoints.map((e) => (typeof e === 'string' ? { addresses: [e], conditions: { ready: true } } : e)),
  ...(ports ? { ports } : {}),
})

test('chains have the names that kube-proxy gives them in every cluster', () => {
  const { nat } = proxyRules(
    [
      service('default', 'kubernetes', '10.96.0.1', [{ name: 'https', port: 443 }]),
      service('kube-system', 'kube-dns', '10.96.0.10', [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'dns-tcp', port: 53, protocol: 'TCP' },
      ]),
    ],
    [
      slice('default', 'kubernetes', ['172.30.0.1'], [{ name: 'https', port: 6443 }]),
      slice(
        'kube-system',
        'kube-dns',
        ['172.30.0.1'],
        [
          { name: 'dns', port: 53 },
          { name: 'dns-tcp', port: 53 },
        ],
      ),
    ],
  )
  expect([...nat.keys()].filter((chain) => chain.startsWith('KUBE-SVC-'))).toEqual([
    'KUBE-SVC-NPX46M4PTMTKRN6Y',
    'KUBE-SVC-TCOU7JCQXEZGVUNU',
    'KUBE-SVC-ERIFXISQEP7F7OF4',
  ])
  expect(nat.get('KUBE-SERVICES')?.[1]).toBe(
    '-d 10.96.0.10/32 -p udp -m comment --comment "kube-system/kube-dns:dns cluster IP" -m udp --dport 53 -j KUBE-SVC-TCOU7JCQXEZGVUNU',
  )
})

describe('a service', () => {
  const web = service('demo', 'web', '10.96.0.20', [{ name: 'http', port: 80, targetPort: 8080 }])

  test('spreads over its endpoints with equal chances', () => {
    const { nat, filter } = proxyRules(
      [web],
      [slice('demo', 'web', ['10.244.1.5', '10.244.1.6', '10.244.2.5'], [{ name: 'http', port: 8080 }])],
    )
    const chain = [...nat.keys()].find((name) => name.startsWith('KUBE-SVC-')) ?? ''
    const chances = nat
      .get(chain)
      ?.slice(1)
      .map((rule) => Number(/--probability (\S+)/.exec(rule)?.[1] ?? 1))
    expect(chances).toEqual([0.3333333333, 0.5, 1])
    expect(filter.get('KUBE-SERVICES')).toEqual([])
  })

  test.each([
    ['no slice', []],
    [
      'no ready endpoint',
      [slice('demo', 'web', [{ addresses: ['10.244.1.5'], conditions: { ready: false } }], [{ name: 'http', port: 8080 }])],
    ],
    ['endpoints of another namespace', [slice('plain', 'web', ['10.244.1.5'], [{ name: 'http', port: 8080 }])]],
    ['endpoints for another port', [slice('demo', 'web', ['10.244.1.5'], [{ name: 'tcp', port: 9000 }])]],
  ])('with %s is rejected', (_, slices) => {
    const { nat, filter } = proxyRules([web], slices)
    expect(filter.get('KUBE-SERVICES')).toEqual([
      '-d 10.96.0.20/32 -p tcp -m comment --comment "demo/web:http has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable',
    ])
    expect(nat.get('KUBE-SERVICES')).toEqual([])
  })

  test('without an address of its own has no rules', () => {
    const { nat, filter } = proxyRules([service('demo', 'web', 'None', web.spec.ports)], [])
    expect([nat.get('KUBE-SERVICES'), filter.get('KUBE-SERVICES')]).toEqual([[], []])
  })

  test('falls back to endpoints that terminate and still serve, only if none is ready', () => {
    const going: Endpoint = { addresses: ['10.244.1.5'], conditions: { ready: false, serving: true, terminating: true } }
    const ports = [{ name: 'http', port: 8080 }]
    expect(endpointsOf(web, [slice('demo', 'web', [going], ports)], 'http')).toEqual([{ address: '10.244.1.5', port: 8080 }])
    expect(endpointsOf(web, [slice('demo', 'web', [going, '10.244.1.6'], ports)], 'http')).toEqual([{ address: '10.244.1.6', port: 8080 }])
  })
})

test('chains that are needed no more are emptied and deleted, built-in jumps are added once', () => {
  const rules = proxyRules([], [])
  const text = restoreText(rules, { nat: ['KUBE-SERVICES', 'KUBE-SVC-OLD'], filter: [] }, false)
  expect(text).toContain(':KUBE-SVC-OLD - [0:0]\n')
  expect(text).toContain('-X KUBE-SVC-OLD\nCOMMIT')
  expect(text).not.toContain('-X KUBE-SERVICES')
  expect(text).not.toContain('-I PREROUTING')
  expect(restoreText(rules, { nat: [], filter: [] }, true)).toContain(
    '-I PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES\n',
  )
})
