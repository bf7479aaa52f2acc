import { describe, expect, test } from 'vitest'
import type { EndpointSlice, Pod, Service } from '../kubernetes/objects.ts'
import { convertEndpointSlice } from './endpoint-slice.ts'
import { convertService } from './service.ts'
import { convertPod } from './workload.ts'

const settings = {
  clusterId: 'Kubernetes',
  rootNamespace: 'istio-system',
  trustDomain: 'cluster.local',
  network: '',
  domain: 'cluster.local',
}

interface Change {
  labels?: Record<string, string>
  annotations?: Record<string, string>
  metadata?: object
  status?: object
  spec?: object
}
const pod = (name: string, { labels, annotations, metadata, status, spec }: Change = {}): Pod => ({
  metadata: {
    name,
    namespace: 'demo',
    labels: labels ?? { app: name },
    annotations: annotations ?? { 'ambient.istio.io/redirection': 'enabled' },
    ...metadata,
  },
  spec: {
    nodeName: 'one',
    serviceAccountName: `${name}-sa`,
    containers: [{ ports: [{ name: 'web', containerPort: 8088 }] }],
    ...spec,
  },
  status: {
    phase: 'Running',
    podIP: '10.244.1.5',
    podIPs: [{ ip: '10.244.1.5' }],
    conditions: [{ type: 'Ready', status: 'True' }],
    ...status,
  },
})

const service = (name: string, spec: Partial<Service['spec']>): Service => ({
  metadata: { name, namespace: 'demo' },
  spec: {
    clusterIP: '10.96.0.20',
    clusterIPs: ['10.96.0.20'],
    ports: [{ name: 'web', port: 80, targetPort: 8080, protocol: 'TCP' }],
    ...spec,
  },
})

const convert = (from: Pod, services: Service[] = [], node?: { labels: Record<string, string> }) =>
  convertPod(from, { services, policies: ['demo/p'], node: node && { metadata: { name: 'one', ...node } } }, settings)

describe('a pod', () => {
  test("has the values that Istio's control plane pushes", () => {
    expect(convert(pod('httpbin'), [service('httpbin', {})])).toEqual({
      uid: 'Kubernetes//Pod/demo/httpbin',
      name: 'httpbin',
      namespace: 'demo',
      addresses: [Uint8Array.of(10, 244, 1, 5)],
      network: '',
      tunnelProtocol: 'HBONE',
      nativeTunnel: false,
      trustDomain: '',
      serviceAccount: 'httpbin-sa',
      node: 'one',
      networkMode: 'STANDARD',
      workloadName: 'httpbin',
      workloadType: 'POD',
      canonicalName: 'httpbin',
      canonicalRevision: 'latest',
      clusterId: 'Kubernetes',
      status: 'HEALTHY',
      authorizationPolicies: ['demo/p'],
      services: { 'demo/httpbin.demo.svc.cluster.local': { ports: [{ servicePort: 80, targetPort: 8080 }] } },
    })
  })

  test.each<[string, Change, object]>([
    ['that is not redirected speaks plain TCP', { annotations: {} }, { tunnelProtocol: 'NONE' }],
    ['of which only half is redirected, too', { annotations: { 'ambient.istio.io/redirection': 'pending' } }, { tunnelProtocol: 'NONE' }],
    [
      'that speaks HBONE by itself',
      { annotations: {}, labels: { 'networking.istio.io/tunnel': 'http' } },
      { tunnelProtocol: 'HBONE', nativeTunnel: true },
    ],
    ['that is not ready', { status: { conditions: [{ type: 'Ready', status: 'False' }] } }, { status: 'UNHEALTHY' }],
    ['that is going', { metadata: { deletionTimestamp: 'now' } }, { status: 'UNHEALTHY' }],
    ['on the host network', { spec: { hostNetwork: true } }, { networkMode: 'HOST_NETWORK' }],
    ['without a service account', { spec: { serviceAccountName: undefined } }, { serviceAccount: '' }],
    [
      'of a deployment',
      {
        labels: { 'pod-template-hash': 'abc' },
        metadata: { ownerReferences: [{ controller: true, kind: 'ReplicaSet', name: 'web-abc' }] },
      },
      { workloadName: 'web', canonicalName: 'web' },
    ],
    [
      'of a cron job',
      { labels: {}, metadata: { ownerReferences: [{ controller: true, kind: 'Job', name: 'tick-29012345' }] } },
      { workloadName: 'tick' },
    ],
    [
      'of a daemon set',
      { labels: {}, metadata: { ownerReferences: [{ controller: true, kind: 'DaemonSet', name: 'agent' }] } },
      { workloadName: 'agent', canonicalName: 'agent' },
    ],
    [
      'with canonical labels',
      { labels: { app: 'x', 'service.istio.io/canonical-name': 'n', version: 'v2' } },
      { canonicalName: 'n', canonicalRevision: 'v2' },
    ],
    [
      'with two addresses',
      { status: { podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }] } },
      { addresses: [Uint8Array.of(10, 0, 0, 1), Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)] },
    ],
  ])('%s', (_, change, expected) => {
    expect(convert(pod('a', change))).toMatchObject(expected)
  })

  test.each([
    ['without an address', { podIP: undefined, podIPs: undefined }],
    ['with an address that is none', { podIPs: [{ ip: 'x' }] }],
    ['that succeeded', { phase: 'Succeeded' }],
    ['that failed', { phase: 'Failed' }],
  ])('%s is no workload', (_, status) => {
    expect(convert(pod('a', { status }))).toBeUndefined()
  })

  test('is where its node is', () => {
    const labels = { 'topology.kubernetes.io/region': 'r', 'topology.kubernetes.io/zone': 'z' }
    expect(convert(pod('a'), [], { labels })?.locality).toEqual({ region: 'r', zone: 'z', subzone: '' })
    expect(convert(pod('a'), [], { labels: {} })?.locality).toBeUndefined()
  })

  test("serves its services' ports at its own: by number, by name, not those that it lacks", () => {
    const ports = [
      { port: 80, targetPort: 'web' },
      { port: 81, targetPort: 'missing' },
      { port: 82 },
      { port: 53, protocol: 'UDP', targetPort: 5353 },
      { port: 53, protocol: 'TCP', targetPort: 5300 },
    ]
    expect(convert(pod('a'), [service('a', { ports })])?.services).toEqual({
      'demo/a.demo.svc.cluster.local': {
        ports: [
          { servicePort: 80, targetPort: 8088 },
          { servicePort: 82, targetPort: 82 },
          { servicePort: 53, targetPort: 5300 },
        ],
      },
    })
  })
})

describe('a service', () => {
  test('has its addresses and ports, 0 where each pod has its own', () => {
    const ports = [
      { name: 'http', port: 80, targetPort: 8080 },
      { port: 81, targetPort: 'web' },
      { name: 'grpc-x', port: 82 },
    ]
    expect(
      convertService(service('web', { ports, clusterIPs: ['10.96.0.20', 'fd00::20'], ipFamilies: ['IPv4', 'IPv6'] }), settings),
    ).toEqual({
      name: 'web',
      namespace: 'demo',
      hostname: 'web.demo.svc.cluster.local',
      addresses: [
        { network: '', address: Uint8Array.of(10, 96, 0, 20) },
        { network: '', address: Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20) },
      ],
      ports: [
        { servicePort: 80, targetPort: 8080, appProtocol: 'HTTP11' },
        { servicePort: 81, targetPort: 0, appProtocol: 'UNKNOWN' },
        { servicePort: 82, targetPort: 82, appProtocol: 'GRPC' },
      ],
      ipFamilies: 'DUAL',
      canonical: true,
    })
  })

  test.each<[string, Partial<Service['spec']>, object]>([
    ['headless', { clusterIP: 'None', clusterIPs: ['None'] }, { addresses: [] }],
    ['of one family', { ipFamilies: ['IPv6'] }, { ipFamilies: 'IPV6_ONLY' }],
    ['that says nothing of families', {}, { ipFamilies: 'AUTOMATIC' }],
    ['for its own node only', { internalTrafficPolicy: 'Local' }, { loadBalancing: { routingPreference: ['NODE'], mode: 'STRICT' } }],
    [
      'near by, if possible',
      { trafficDistribution: 'PreferClose' },
      { loadBalancing: { routingPreference: ['NETWORK', 'REGION', 'ZONE'], mode: 'FAILOVER' } },
    ],
    ['of pods that need not be ready', { publishNotReadyAddresses: true }, { loadBalancing: { healthPolicy: 'ALLOW_ALL' } }],
  ])('%s', (_, spec, expected) => {
    expect(convertService(service('web', spec), settings)).toMatchObject(expected)
  })
})

test('endpoints that are no pods are workloads of an address that may be shared', () => {
  const slice: EndpointSlice = {
    metadata: { name: 'kubernetes', namespace: 'default', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: 'IPv4',
    endpoints: [
      { addresses: ['172.18.0.2'], conditions: { ready: true } },
      { addresses: ['172.18.0.3'], conditions: { ready: false } },
      { addresses: ['172.18.0.2'] },
      { addresses: ['x'] },
      { addresses: ['10.0.0.1'], targetRef: { kind: 'Pod', name: 'p' } },
    ],
    ports: [
      { name: 'https', port: 6443, protocol: 'TCP' },
      { name: 'other', port: 1 },
    ],
  }
  const kubernetes: Service = { metadata: { name: 'kubernetes', namespace: 'default' }, spec: { ports: [{ name: 'https', port: 443 }] } }
  expect(convertEndpointSlice(slice, kubernetes, settings)).toMatchObject([
    {
      uid: 'Kubernetes/discovery.k8s.io/EndpointSlice/default/kubernetes/172.18.0.2',
      name: 'kubernetes',
      namespace: 'default',
      addresses: [Uint8Array.of(172, 18, 0, 2)],
      networkMode: 'HOST_NETWORK',
      status: 'HEALTHY',
      services: { 'default/kubernetes.default.svc.cluster.local': { ports: [{ servicePort: 443, targetPort: 6443 }] } },
    },
    { uid: 'Kubernetes/discovery.k8s.io/EndpointSlice/default/kubernetes/172.18.0.3', status: 'UNHEALTHY' },
  ])
})
