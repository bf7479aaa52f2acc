import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { KubernetesObject, Pod, Service } from './kubernetes.ts'
import { localXds } from './local-xds.ts'
import type { PeerAuthentication } from './local-xds-authentication.ts'
import { type AuthorizationPolicy, convertPolicy } from './local-xds-policies.ts'

const pod = (
  name: string,
  change: { labels?: Record<string, string>; enrolled?: boolean; status?: object; spec?: object; owner?: object } = {},
): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    namespace: 'demo',
    labels: change.labels ?? { app: name },
    annotations: change.enrolled === false ? {} : { 'ambient.istio.io/redirection': 'enabled' },
    ...(change.owner ? { ownerReferences: [{ controller: true, ...change.owner }] } : {}),
  },
  spec: {
    nodeName: 'one',
    serviceAccountName: `${name}-sa`,
    containers: [{ name: 'c', ports: [{ name: 'web', containerPort: 8088 }] }],
    ...change.spec,
  },
  status: {
    phase: 'Running',
    podIP: '10.244.1.5',
    podIPs: [{ ip: '10.244.1.5' }],
    conditions: [{ type: 'Ready', status: 'True' }],
    ...change.status,
  },
})

const service = (name: string, spec: Partial<Service['spec']>): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'demo' },
  spec: {
    clusterIP: '10.96.0.20',
    clusterIPs: ['10.96.0.20'],
    ports: [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }],
    ...spec,
  },
})

const policy = (spec: AuthorizationPolicy['spec'], namespace = 'demo'): AuthorizationPolicy => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: 'p', namespace },
  ...(spec ? { spec } : {}),
})

const state = (objects: {
  pods?: Pod[]
  services?: Service[]
  policies?: AuthorizationPolicy[]
  authentications?: PeerAuthentication[]
  namespaces?: KubernetesObject[]
}) => parse(localXds({ pods: [], services: [], policies: [], authentications: [], namespaces: [], ...objects }))

describe('workloads', () => {
  test("an enrolled pod has the values that Istio's control plane pushes for it", () => {
    expect(
      state({
        pods: [pod('httpbin', { labels: { role: 'httpbin', app: 'httpbin' } })],
        services: [service('httpbin', { selector: { role: 'httpbin' } })],
      }).workloads,
    ).toEqual([
      {
        uid: 'Kubernetes//Pod/demo/httpbin',
        name: 'httpbin',
        namespace: 'demo',
        workloadIps: ['10.244.1.5'],
        protocol: 'HBONE',
        networkMode: 'Standard',
        network: '',
        node: 'one',
        trustDomain: 'cluster.local',
        serviceAccount: 'httpbin-sa',
        workloadName: 'httpbin',
        workloadType: 'pod',
        canonicalName: 'httpbin',
        canonicalRevision: 'latest',
        status: 'Healthy',
        clusterId: 'Kubernetes',
        authorizationPolicies: [],
        services: { 'demo/httpbin.demo.svc.cluster.local': { 80: 8080 } },
      },
    ])
  })

  test.each([
    ['without the annotation', { enrolled: false }, { protocol: 'TCP' }],
    [
      'that says it speaks HBONE itself',
      { enrolled: false, labels: { 'networking.istio.io/tunnel': 'http' } },
      { protocol: 'HBONE', nativeTunnel: true },
    ],
    ['not ready', { status: { conditions: [{ type: 'Ready', status: 'False' }] } }, { status: 'Unhealthy' }],
    ['on the host network', { spec: { hostNetwork: true } }, { networkMode: 'HostNetwork' }],
    ['without a service account', { spec: { serviceAccountName: undefined } }, { serviceAccount: 'default' }],
    [
      'of a deployment',
      { labels: { 'pod-template-hash': 'abc' }, owner: { kind: 'ReplicaSet', name: 'web-abc' } },
      { workloadName: 'web', workloadType: 'deployment', canonicalName: 'web' },
    ],
    [
      'of a daemon set',
      { labels: {}, owner: { kind: 'DaemonSet', name: 'agent' } },
      { workloadName: 'agent', workloadType: 'pod', canonicalName: 'agent' },
    ],
    [
      'with canonical labels',
      { labels: { app: 'x', 'service.istio.io/canonical-name': 'n', version: 'v2' } },
      { canonicalName: 'n', canonicalRevision: 'v2' },
    ],
  ])('a pod %s', (_, change, expected) => {
    expect(state({ pods: [pod('a', change)] }).workloads).toMatchObject([expected])
  })

  test('pods without an address and those that ended are none', () => {
    const pods = [
      pod('a', { status: { podIP: undefined } }),
      pod('b', { status: { phase: 'Succeeded' } }),
      pod('c', { status: { phase: 'Failed' } }),
    ]
    expect(state({ pods }).workloads).toEqual([])
  })

  test('serve the services that select them, at their own port', () => {
    const services = [
      service('a', {
        selector: { app: 'a' },
        ports: [{ port: 80, targetPort: 'web' }, { port: 81, targetPort: 'missing' }, { port: 82 }, { port: 53, protocol: 'UDP' }],
      }),
      service('b', { selector: { app: 'b' } }),
      service('none', {}),
    ]
    expect(state({ pods: [pod('a')], services }).workloads[0].services).toEqual({ 'demo/a.demo.svc.cluster.local': { 80: 8088, 82: 82 } })
  })
})

test('services: addresses with their network, none if headless; ports', () => {
  const services = [service('web', { selector: { app: 'a' } }), service('headless', { clusterIP: 'None', clusterIPs: ['None'] })]
  expect(state({ services }).services).toEqual([
    {
      name: 'headless',
      namespace: 'demo',
      hostname: 'headless.demo.svc.cluster.local',
      vips: [],
      ports: { 80: 8080 },
      subjectAltNames: [],
    },
    {
      name: 'web',
      namespace: 'demo',
      hostname: 'web.demo.svc.cluster.local',
      vips: ['/10.96.0.20'],
      ports: { 80: 8080 },
      subjectAltNames: [],
    },
  ])
})

test('services say their address families, if Kubernetes does', () => {
  const families = (ipFamilies?: ('IPv4' | 'IPv6')[]) =>
    state({ services: [service('web', { selector: { app: 'a' }, ...(ipFamilies ? { ipFamilies } : {}) })] }).services[0].ipFamilies
  expect([families(), families(['IPv4']), families(['IPv6']), families(['IPv6', 'IPv4'])]).toEqual([undefined, 'IPv4', 'IPv6', 'Dual'])
})

test("ports are numbers, not text: upstream's reader takes no other keys", () => {
  const text = localXds({
    pods: [pod('a')],
    services: [service('x', { selector: { app: 'a' } })],
    policies: [],
    authentications: [],
    namespaces: [],
  })
  expect(text.match(/^\s+80: 8080$/gm)).toHaveLength(2)
})

test('the text does not depend on the order of the objects', () => {
  const pods = [pod('a'), pod('b'), pod('c')]
  const services = [service('x', { selector: { app: 'a' } }), service('y', { selector: { app: 'a' } })]
  const text = localXds({ pods, services, policies: [], authentications: [], namespaces: [] })
  expect(localXds({ pods: pods.toReversed(), services: services.toReversed(), policies: [], authentications: [], namespaces: [] })).toBe(
    text,
  )
})

describe('policies', () => {
  const convert = (spec: AuthorizationPolicy['spec'], namespace?: string) => convertPolicy(policy(spec, namespace), 'istio-system')
  const rulesOf = (rule: object, action = 'ALLOW') => convert({ action, rules: [rule] })?.rules

  test("scope: selector, own namespace, or all if in the mesh's namespace", () => {
    expect(convert({ selector: { matchLabels: { a: 'b' } } })?.scope).toBe('WorkloadSelector')
    expect(convert({})).toEqual({ name: 'p', namespace: 'demo', scope: 'Namespace', action: 'Allow', rules: [] })
    expect(convert({}, 'istio-system')?.scope).toBe('Global')
  })

  test('that a waypoint or nobody decides are not sent', () => {
    for (const spec of [{ action: 'CUSTOM' }, { action: 'AUDIT' }, { targetRefs: [{}] }, { targetRef: {} }])
      expect(convert(spec)).toBeUndefined()
  })

  test('every layer 4 field and its negation', () => {
    const source = {
      principals: ['cluster.local/ns/demo/sa/a'],
      notPrincipals: ['*/sa/b'],
      namespaces: ['demo*'],
      notNamespaces: ['*'],
      ipBlocks: ['10.0.0.0/8', '1.2.3.4'],
      notIpBlocks: ['fd00::1'],
    }
    expect(rulesOf({ from: [{ source }], to: [{ operation: { ports: ['80'], notPorts: ['9000', '9001'] } }] })).toEqual([
      [
        [{ destinationPorts: [80], notDestinationPorts: [9000, 9001] }],
        [
          {
            principals: [{ Exact: 'cluster.local/ns/demo/sa/a' }],
            notPrincipals: [{ Suffix: '/sa/b' }],
            namespaces: [{ Prefix: 'demo' }],
            notNamespaces: ['Presence'],
            sourceIps: ['10.0.0.0/8', '1.2.3.4/32'],
            notSourceIps: ['fd00::1/128'],
          },
        ],
      ],
    ])
  })

  test('several sources are alternatives; conditions are clauses of their own', () => {
    const rule = {
      from: [{ source: { namespaces: ['a'] } }, { source: { principals: ['b'] } }],
      when: [
        { key: 'destination.port', values: ['1'], notValues: ['2'] },
        { key: 'destination.ip', values: ['10.0.0.1'] },
      ],
    }
    expect(rulesOf(rule)).toEqual([
      [
        [{ namespaces: [{ Exact: 'a' }] }, { principals: [{ Exact: 'b' }] }],
        [{ destinationPorts: [1], notDestinationPorts: [2] }],
        [{ destinationIps: ['10.0.0.1/32'] }],
      ],
    ])
  })

  test('an empty rule matches everything: it has no clauses', () => {
    expect(rulesOf({})).toEqual([[]])
  })

  test.each([
    ['a path', { to: [{ operation: { paths: ['/x'], ports: ['80'] } }] }, [[[{ destinationPorts: [80] }]]]],
    ['a method alone', { to: [{ operation: { methods: ['GET'] } }] }, [[]]],
    [
      'a request principal',
      { from: [{ source: { requestPrincipals: ['*'], namespaces: ['a'] } }] },
      [[[{ namespaces: [{ Exact: 'a' }] }]]],
    ],
    ['a header', { when: [{ key: 'request.headers[x]', values: ['y'] }] }, [[]]],
    ['a port that is none', { to: [{ operation: { ports: ['http'] } }] }, [[]]],
    [
      'a block that is none',
      { from: [{ source: { ipBlocks: ['10.0.0.0/99'], namespaces: ['a'] } }] },
      [[[{ namespaces: [{ Exact: 'a' }] }]]],
    ],
    ['an unconditional alternative', { to: [{ operation: { paths: ['/x'] } }, { operation: { ports: ['80'] } }] }, [[]]],
  ])('%s: an ALLOW rule with it is dropped, a DENY rule loses the condition', (_, rule, denied) => {
    expect(rulesOf(rule, 'ALLOW')).toEqual([])
    expect(rulesOf(rule, 'DENY')).toEqual(denied)
  })

  test('with a selector are listed at the workloads they select', () => {
    const select = (matchLabels: Record<string, string>, name: string, namespace = 'demo') => {
      const made = policy({ selector: { matchLabels } }, namespace)
      made.metadata.name = name
      return made
    }
    const policies = [
      select({ app: 'a' }, 'mine'),
      select({ app: 'b' }, 'other'),
      select({ app: 'a' }, 'elsewhere', 'plain'),
      select({ app: 'a' }, 'mesh', 'istio-system'),
      policy({}),
    ]
    expect(state({ pods: [pod('a')], policies }).workloads[0].authorizationPolicies).toEqual(['demo/mine', 'istio-system/mesh'])
    expect(state({ policies }).policies).toHaveLength(5)
  })

  test('of a namespace that is going are gone', () => {
    const namespaces = [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'demo', deletionTimestamp: 'now' } }]
    expect(state({ policies: [policy({})], namespaces }).policies).toEqual([])
  })
})

describe('strict mutual TLS', () => {
  const authentication = (
    mode: string | undefined,
    { namespace = 'demo', of, age = '1' }: { namespace?: string; of?: string; age?: string } = {},
  ) => ({
    apiVersion: 'security.istio.io/v1',
    kind: 'PeerAuthentication',
    metadata: { name: `${mode}-${age}`, namespace, creationTimestamp: age },
    spec: { ...(mode ? { mtls: { mode } } : {}), ...(of ? { selector: { matchLabels: { app: of } } } : {}) },
  })
  const strictOnes = (...authentications: PeerAuthentication[]) =>
    state({ pods: [pod('a'), pod('b')], authentications })
      .workloads.filter((w: { authorizationPolicies: string[] }) =>
        w.authorizationPolicies.includes('istio-system/istio_converted_static_strict'),
      )
      .map((w: { name: string }) => w.name)
      .join('')

  test('a DENY of whoever shows no identity, there as soon as there is any PeerAuthentication', () => {
    expect(state({}).policies).toEqual([])
    expect(state({ authentications: [authentication('PERMISSIVE')] }).policies).toEqual([
      {
        name: 'istio_converted_static_strict',
        namespace: 'istio-system',
        scope: 'WorkloadSelector',
        action: 'Deny',
        rules: [[[{ notPrincipals: ['Presence'] }]]],
      },
    ])
  })

  test('is for the pods of its namespace, of the mesh, or that it selects; the narrowest that says a mode decides, the oldest of equals', () => {
    expect(strictOnes()).toBe('')
    expect(strictOnes(authentication('STRICT'))).toBe('ab')
    expect(strictOnes(authentication('STRICT', { namespace: 'other' }))).toBe('')
    expect(strictOnes(authentication('STRICT', { namespace: 'istio-system' }))).toBe('ab')
    expect(strictOnes(authentication('STRICT', { of: 'a' }))).toBe('a')
    expect(strictOnes(authentication('STRICT'), authentication('PERMISSIVE', { of: 'a' }))).toBe('b')
    expect(strictOnes(authentication('STRICT', { namespace: 'istio-system' }), authentication('PERMISSIVE'))).toBe('')
    expect(strictOnes(authentication('STRICT', { namespace: 'istio-system' }), authentication('UNSET'), authentication(undefined))).toBe(
      'ab',
    )
    expect(strictOnes(authentication('PERMISSIVE', { age: '2' }), authentication('STRICT', { age: '1' }))).toBe('ab')
  })
})
