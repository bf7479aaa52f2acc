import { expect, test } from 'vitest'
import { type MatchInit, type ServiceInit, typeUrls, type WorkloadInit } from '../../lib/xds/messages.ts'
import { parseLocalState } from '../state/local-schema.ts'
import { policyResource, serviceResource, workloadResource } from '../testbed/control-plane.ts'
import { Received } from './received.ts'

type Named = { name: string; version: string; resource: { typeUrl: string; value: Buffer } }

const response = (typeUrl: string, resources: Named[], removedResources: string[] = []) => ({
  systemVersionInfo: '',
  typeUrl,
  nonce: 'n',
  resources: resources.map((r) => ({ aliases: [], ttl: undefined, cacheControl: undefined, ...r })),
  removedResources,
})
const takeOne = (resource: Named) => new Received(resource.resource.typeUrl).take(response(resource.resource.typeUrl, [resource]))

const v4 = (...bytes: number[]) => Uint8Array.from(bytes)
const v6 = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'))

test('a workload with everything set becomes what the local form would say', () => {
  const taken = takeOne(
    workloadResource({
      uid: 'c//Pod/demo/a',
      name: 'a',
      namespace: 'demo',
      addresses: [v4(10, 0, 0, 1), v6('fd000000000000000000000000000001'), v6('00000000000000000000ffff0a000002')],
      network: 'net',
      tunnelProtocol: 'HBONE',
      trustDomain: 'example.org',
      serviceAccount: 'sa',
      waypoint: { hostname: { namespace: 'demo', hostname: 'way.demo' }, hboneMtlsPort: 15008 },
      node: 'n1',
      canonicalName: 'app',
      canonicalRevision: 'v2',
      workloadType: 'CRONJOB',
      workloadName: 'dep',
      nativeTunnel: true,
      authorizationPolicies: ['demo/p', 'istio-system/q'],
      status: 'UNHEALTHY',
      clusterId: 'c',
      networkGateway: { address: { network: 'far', address: v4(1, 2, 3, 4) }, hboneMtlsPort: 15009 },
      hostname: 'a.example.org',
      services: {
        'demo/web.demo': {
          ports: [
            { servicePort: 80, targetPort: 8080 },
            { servicePort: 443, targetPort: 8443 },
          ],
        },
      },
      applicationTunnel: { protocol: 'PROXY', port: 15088 },
      locality: { region: 'r', zone: 'z', subzone: 's' },
      networkMode: 'HOST_NETWORK',
      capacity: { value: 7 },
    }),
  )
  const [local] = parseLocalState(
    `workloads: [{ uid: c//Pod/demo/a, name: a, namespace: demo, workloadIps: [10.0.0.1, 'fd00::1', 10.0.0.2], network: net, protocol: HBONE,
      trustDomain: example.org, serviceAccount: sa, waypoint: { destination: demo/way.demo, hboneMtlsPort: 15008 }, node: n1, canonicalName: app,
      canonicalRevision: v2, workloadType: cronjob, workloadName: dep, nativeTunnel: true, authorizationPolicies: [demo/p, istio-system/q],
      status: Unhealthy, clusterId: c, networkGateway: { destination: far/1.2.3.4, hboneMtlsPort: 15009 }, hostname: a.example.org,
      services: { demo/web.demo: { 80: 8080, 443: 8443 } }, applicationTunnel: { protocol: PROXY, port: 15088 },
      locality: { region: r, zone: z, subzone: s }, networkMode: HostNetwork, capacity: 7 }]`,
    't',
  ).workloads
  expect(taken.bad).toEqual([])
  expect(taken.changes.workloads).toEqual([local])
})

test('a workload with nothing but its uid has upstream’s defaults', () => {
  expect(takeOne(workloadResource({ uid: 'u' })).changes.workloads).toMatchObject([
    {
      uid: 'u',
      protocol: 'TCP',
      trustDomain: 'cluster.local',
      serviceAccount: 'default',
      workloadType: 'deployment',
      capacity: 1,
      status: 'Healthy',
      services: {},
    },
  ])
})

test('a service with everything set becomes what the local form would say; address ranges are no VIPs', () => {
  const taken = takeOne(
    serviceResource({
      name: 'web',
      namespace: 'demo',
      hostname: 'web.demo',
      addresses: [
        { network: 'net', address: v4(10, 96, 0, 1) },
        { network: '', address: v6('fd000000000000000000000000000001'), length: 128 },
        { network: '', address: v4(10, 97, 0, 0), length: 16 },
      ],
      ports: [{ servicePort: 80, targetPort: 8080, appProtocol: 'HTTP2' }],
      subjectAltNames: ['spiffe://cluster.local/ns/demo/sa/x'],
      waypoint: { address: { network: 'net', address: v4(10, 0, 0, 7) }, hboneMtlsPort: 15008 },
      loadBalancing: {
        routingPreference: ['NETWORK', 'REGION', 'ZONE', 'SUBZONE', 'NODE', 'CLUSTER'],
        mode: 'FAILOVER',
        healthPolicy: 'ALLOW_ALL',
      },
      ipFamilies: 'DUAL',
      canonical: true,
      visibility: 'NAMESPACE',
    }),
  )
  const [local] = parseLocalState(
    `services: [{ name: web, namespace: demo, hostname: web.demo, vips: [net/10.96.0.1, '/fd00::1'], ports: { 80: 8080 },
      subjectAltNames: ['spiffe://cluster.local/ns/demo/sa/x'], waypoint: { destination: net/10.0.0.7, hboneMtlsPort: 15008 },
      loadBalancer: { routingPreferences: [Network, Region, Zone, Subzone, Node, Cluster], mode: Failover, healthPolicy: AllowAll },
      ipFamilies: Dual, canonical: true, visibility: Namespace }]`,
    't',
  ).services
  expect(taken.bad).toEqual([])
  expect(taken.changes.services).toEqual([local])
})

test('weighted waypoints are kept with their weights', () => {
  const destination = { hostname: { namespace: 'demo', hostname: 'way.demo' }, hboneMtlsPort: 15008 }
  expect(
    takeOne(serviceResource({ namespace: 'demo', hostname: 'w', weightedWaypoints: [{ destination, weight: 3 }] })).changes.services,
  ).toMatchObject([{ weightedWaypoints: [{ destination: 'demo/way.demo', hboneMtlsPort: 15008, weight: 3 }] }])
})

test('a policy with everything set becomes what the local form would say', () => {
  const match = {
    namespaces: [{ exact: 'a' }],
    notNamespaces: [{ prefix: 'b' }],
    principals: [{ suffix: 'c' }],
    notPrincipals: [{ presence: {} }, { exact: '' }],
    sourceIps: [{ address: v4(10, 0, 0, 0), length: 8 }],
    notSourceIps: [{ address: v6('fd000000000000000000000000000000'), length: 64 }],
    destinationIps: [{ address: v4(0, 0, 0, 0), length: 0 }],
    notDestinationIps: [{ address: v6('00000000000000000000ffff0a010000'), length: 112 }],
    destinationPorts: [80, 0],
    notDestinationPorts: [65_535],
    serviceAccounts: [{ namespace: 'n', serviceAccount: 's' }],
    notServiceAccounts: [{ namespace: 'm', serviceAccount: 't' }],
  } satisfies MatchInit
  const taken = takeOne(
    policyResource({
      name: 'p',
      namespace: 'demo',
      scope: 'WORKLOAD_SELECTOR',
      action: 'DENY',
      dryRun: true,
      rules: [{ clauses: [{ matches: [match] }, {}] }, {}],
    }),
  )
  const [local] = parseLocalState(
    `policies: [{ name: p, namespace: demo, scope: WorkloadSelector, action: Deny, dryRun: true, rules: [[[{
      namespaces: [{ Exact: a }], notNamespaces: [{ Prefix: b }], principals: [{ Suffix: c }], notPrincipals: [Presence, { Exact: '' }],
      sourceIps: [10.0.0.0/8], notSourceIps: ['fd00::/64'], destinationIps: [0.0.0.0/0], notDestinationIps: [10.1.0.0/16],
      destinationPorts: [80, 0], notDestinationPorts: [65535],
      serviceAccounts: [{ namespace: n, serviceAccount: s }], notServiceAccounts: [{ namespace: m, serviceAccount: t }] }], []], []] }]`,
    't',
  ).policies
  expect(taken.bad).toEqual([])
  expect(taken.changes.policies).toEqual([local])
})

const workload = (more: Omit<WorkloadInit, 'uid'> & { uid?: string }) => workloadResource({ uid: 'u', ...more })
const service = (more: Omit<ServiceInit, 'namespace' | 'hostname'> & { hostname?: string }) =>
  serviceResource({ namespace: 'n', hostname: 'h', ...more })
const policy = (match: MatchInit) => policyResource({ namespace: 'n', name: 'p', rules: [{ clauses: [{ matches: [match] }] }] })
const at = 'rules[0].clauses[0].matches[0]'

test.each<[string, Named, string]>([
  ['no uid', { ...workload({ uid: '' }), name: 'x' }, 'uid is empty'],
  ['an unknown tunnel', workload({ tunnelProtocol: 9 }), 'tunnel_protocol: unknown value 9'],
  ['a service key', workload({ services: { web: { ports: [] } } }), 'services: "web" is not <namespace>/<hostname>'],
  ['an empty waypoint', workload({ waypoint: { hboneMtlsPort: 1 } }), 'waypoint: neither hostname nor address is set'],
  ['no hostname', { ...service({ hostname: '' }), name: 'x' }, 'hostname is empty'],
  ['a VIP', service({ addresses: [{ address: v4(1) }] }), 'addresses[0]: an address of 1 bytes, expected 4 or 16'],
  [
    'an unset scope',
    service({ loadBalancing: { routingPreference: [0] } }),
    'load_balancing.routing_preference[0]: unknown value UNSPECIFIED_SCOPE',
  ],
  ['an empty pattern', policy({ principals: [{}] }), `${at}.principals[0]: none of exact, prefix, suffix and presence is set`],
  [
    'too long a prefix',
    policy({ sourceIps: [{ address: v4(1, 2, 3, 4), length: 33 }] }),
    `${at}.source_ips[0]: 1.2.3.4/33 has more bits than the address`,
  ],
  ['a port', policy({ destinationPorts: [65_536] }), `${at}.destination_ports[0]: 65536 is no port`],
  ['an action', policyResource({ namespace: 'n', name: 'p', action: 2 }), 'action: unknown value 2'],
  ['an empty resource', { ...workload({}), resource: undefined as never }, 'the resource is empty'],
  ['another type', { ...workload({}), resource: { typeUrl: 'x', value: Buffer.alloc(0) } }, 'the resource is of type x'],
  ['no name', { ...workload({}), name: '' }, 'the resource has no name'],
  [
    'an address of nothing',
    { ...workload({}), resource: { typeUrl: typeUrls.address, value: Buffer.alloc(0) } },
    'neither workload nor service is set',
  ],
])('not usable: %s', (_name, resource, reason) => {
  const url = resource.resource?.typeUrl === typeUrls.authorization ? typeUrls.authorization : typeUrls.address
  const taken = new Received(url).take(response(url, [resource]))
  expect(taken.bad).toEqual([{ name: resource.name, reason }])
  expect(taken.put).toEqual([])
})

test('a name that now means something else takes the old thing away', () => {
  const received = new Received(typeUrls.address)
  received.take(response(typeUrls.address, [{ ...workload({}), name: 'x' }]))
  const taken = received.take(response(typeUrls.address, [{ ...service({}), name: 'x' }]))
  expect(taken.changes).toMatchObject({ removed: { workloads: ['u'] }, services: [{ hostname: 'h' }] })
})

test('what goes and comes in one response is there; versions tell what is held', () => {
  const received = new Received(typeUrls.address)
  received.take(response(typeUrls.address, [workload({}), service({})]))
  expect(received.versions()).toEqual({ u: '1', 'n/h': '1' })
  const taken = received.take(response(typeUrls.address, [workloadResource({ uid: 'u', node: 'n2' }, '2')], ['u', 'n/h']))
  expect(taken.changes).toMatchObject({ workloads: [{ node: 'n2' }], removed: { workloads: ['u'], services: ['n/h'] } })
  expect(received.versions()).toEqual({ u: '2' })
})

test('one name twice in a response is what came last; of two names for one thing the last has it', () => {
  const received = new Received(typeUrls.address)
  const twice = received.take(
    response(typeUrls.address, [
      { ...workload({}), name: 'x' },
      { ...service({}), name: 'x' },
    ]),
  )
  expect(twice.changes).toMatchObject({ workloads: [], services: [{ hostname: 'h' }] })
  received.take(response(typeUrls.address, [{ ...service({}), name: 'y' }]))
  expect(received.take(response(typeUrls.address, [], ['x'])).changes.removed).toEqual({ workloads: [], services: [], policies: [] })
  expect(received.take(response(typeUrls.address, [], ['y'])).changes.removed).toEqual({ workloads: [], services: ['n/h'], policies: [] })
})
