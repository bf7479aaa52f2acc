import type { DaemonSet, Deployment, KubeObject, Namespace, Node, Pod, ReplicaSet, Service } from './types.ts'

/** Group, version and plural of a resource; the core group is ''. `T` is the shape of its objects. */
export interface Gvr<T extends KubeObject = KubeObject> {
  readonly group: string
  readonly version: string
  readonly resource: string
  /** Never set: it carries the type. */
  readonly shape?: T
}

/** What the server knows of a resource. */
export interface Resource<T extends KubeObject = KubeObject> extends Gvr<T> {
  readonly kind: string
  readonly namespaced: boolean
  readonly singular: string
  readonly shortNames: readonly string[]
  readonly categories: readonly string[]
  /** Has a status subresource: writes to the object leave the status alone, and the other way round. */
  readonly status: boolean
  /** Further subresources, as discovery lists them. */
  readonly subresources: readonly Subresource[]
  /** Custom resources have no schema here: their lists are atomic, and strategic merge patch is refused, as upstream does. */
  readonly custom: boolean
  /** Which syntax names must have. */
  readonly names: 'subdomain' | 'label' | 'label1035' | 'path'
}

export interface Subresource {
  readonly name: string
  readonly kind: string
  readonly verbs: readonly string[]
  readonly group?: string
  readonly version?: string
}

type Extras = Partial<Omit<Resource, keyof Gvr | 'kind'>>

function resource<T extends KubeObject = KubeObject>(
  group: string,
  version: string,
  plural: string,
  kind: string,
  extras: Extras = {},
): Resource<T> {
  return {
    group,
    version,
    resource: plural,
    kind,
    namespaced: true,
    singular: kind.toLowerCase(),
    shortNames: [],
    categories: [],
    status: false,
    subresources: [],
    custom: false,
    names: 'subdomain',
    ...extras,
  }
}

const core = <T extends KubeObject = KubeObject>(plural: string, kind: string, extras?: Extras) =>
  resource<T>('', 'v1', plural, kind, extras)
const apps = <T extends KubeObject>(plural: string, kind: string, shortNames: readonly string[]) =>
  resource<T>('apps', 'v1', plural, kind, { status: true, shortNames, categories: ['all'] })
const rbac = (plural: string, kind: string, namespaced: boolean) =>
  resource('rbac.authorization.k8s.io', 'v1', plural, kind, { namespaced, names: 'path' })
const custom = (group: string, plural: string, kind: string, shortNames: readonly string[] = [], extras: Extras = {}) =>
  resource(group, 'v1', plural, kind, { custom: true, status: true, shortNames, ...extras })
const security = (plural: string, kind: string, shortNames?: readonly string[]) => custom('security.istio.io', plural, kind, shortNames)
const networking = (plural: string, kind: string, shortNames?: readonly string[]) => custom('networking.istio.io', plural, kind, shortNames)
const gateways = (plural: string, kind: string, shortNames?: readonly string[], extras?: Extras) =>
  custom('gateway.networking.k8s.io', plural, kind, shortNames, extras)

const get = (name: string, kind: string) => ({ name, kind, verbs: ['get'] })

/** Every resource that is served, under a short name for code: `resources.pods`. */
export const resources = {
  pods: core<Pod>('pods', 'Pod', {
    status: true,
    shortNames: ['po'],
    categories: ['all'],
    subresources: [get('log', 'Pod')],
  }),
  namespaces: core<Namespace>('namespaces', 'Namespace', {
    namespaced: false,
    status: true,
    shortNames: ['ns'],
    names: 'label',
    subresources: [{ name: 'finalize', kind: 'Namespace', verbs: ['update'] }],
  }),
  nodes: core<Node>('nodes', 'Node', { namespaced: false, status: true, shortNames: ['no'] }),
  services: core<Service>('services', 'Service', { status: true, shortNames: ['svc'], categories: ['all'], names: 'label1035' }),
  endpoints: core('endpoints', 'Endpoints', { shortNames: ['ep'] }),
  serviceaccounts: core('serviceaccounts', 'ServiceAccount', {
    shortNames: ['sa'],
    subresources: [{ name: 'token', kind: 'TokenRequest', verbs: ['create'], group: 'authentication.k8s.io', version: 'v1' }],
  }),
  secrets: core('secrets', 'Secret'),
  configmaps: core('configmaps', 'ConfigMap', { shortNames: ['cm'] }),
  events: core('events', 'Event', { shortNames: ['ev'] }),
  daemonsets: apps<DaemonSet>('daemonsets', 'DaemonSet', ['ds']),
  deployments: apps<Deployment>('deployments', 'Deployment', ['deploy']),
  replicasets: apps<ReplicaSet>('replicasets', 'ReplicaSet', ['rs']),
  endpointslices: resource('discovery.k8s.io', 'v1', 'endpointslices', 'EndpointSlice'),
  leases: resource('coordination.k8s.io', 'v1', 'leases', 'Lease'),
  roles: rbac('roles', 'Role', true),
  rolebindings: rbac('rolebindings', 'RoleBinding', true),
  clusterroles: rbac('clusterroles', 'ClusterRole', false),
  clusterrolebindings: rbac('clusterrolebindings', 'ClusterRoleBinding', false),
  customresourcedefinitions: resource('apiextensions.k8s.io', 'v1', 'customresourcedefinitions', 'CustomResourceDefinition', {
    namespaced: false,
    status: true,
    shortNames: ['crd'],
  }),
  authorizationpolicies: security('authorizationpolicies', 'AuthorizationPolicy', ['ap']),
  peerauthentications: security('peerauthentications', 'PeerAuthentication', ['pa']),
  requestauthentications: security('requestauthentications', 'RequestAuthentication', ['ra']),
  serviceentries: networking('serviceentries', 'ServiceEntry', ['se']),
  workloadentries: networking('workloadentries', 'WorkloadEntry', ['we']),
  virtualservices: networking('virtualservices', 'VirtualService', ['vs']),
  destinationrules: networking('destinationrules', 'DestinationRule', ['dr']),
  sidecars: networking('sidecars', 'Sidecar'),
  istiogateways: networking('gateways', 'Gateway', ['gw']),
  gatewayclasses: gateways('gatewayclasses', 'GatewayClass', ['gc'], { namespaced: false }),
  gateways: gateways('gateways', 'Gateway', ['gtw']),
  httproutes: gateways('httproutes', 'HTTPRoute'),
  grpcroutes: gateways('grpcroutes', 'GRPCRoute'),
} as const satisfies Record<string, Resource>

/** @returns undefined for what is not served */
export function findResource(gvr: Gvr): Resource | undefined {
  return byPath.get(pathOf(gvr))
}

export const allResources: readonly Resource[] = Object.values(resources)

/** `v1` or `apps/v1`. */
export const apiVersionOf = (gvr: Gvr) => (gvr.group ? `${gvr.group}/${gvr.version}` : gvr.version)

const pathOf = (gvr: Gvr) => `${gvr.group}/${gvr.version}/${gvr.resource}`
const byPath = new Map(allResources.map((r) => [pathOf(r), r]))
