/**
 * Istio's messages between ztunnel and its control plane, with the field numbers of upstream's workload.proto, authorization.proto and ca.proto and of Envoy's
 * discovery.proto (fact sheet: in-pod mode, 5.1 to 5.5). Fields that are not listed are skipped when they come.
 */
import { bool, bytes, enumeration, int32, int64, map, optional, repeated, string, sub, uint32 } from './fields.ts'
import { type Decoded, type Encodable, message } from './schema.ts'
import { struct } from './struct.ts'

// google.protobuf, google.rpc

export const Empty = message('google.protobuf.Empty', {})
export const Duration = message('google.protobuf.Duration', { seconds: int64(1), nanos: int32(2) })
export const UInt32Value = message('google.protobuf.UInt32Value', { value: uint32(1) })
export const Any = message('google.protobuf.Any', { typeUrl: string(1), value: bytes(2) })
export const Status = message('google.rpc.Status', { code: int32(1), message: string(2), details: repeated(3, sub(0, Any)) })

// envoy.config.core.v3, envoy.service.discovery.v3

export const Node = message('envoy.config.core.v3.Node', { id: string(1), cluster: string(2), metadata: struct(3) })

export const CacheControl = message('envoy.service.discovery.v3.Resource.CacheControl', { doNotCache: bool(1) })

export const Resource = message('envoy.service.discovery.v3.Resource', {
  version: string(1),
  resource: sub(2, Any),
  name: string(3),
  aliases: repeated(4, string(0)),
  ttl: sub(6, Duration),
  cacheControl: sub(7, CacheControl),
})

export const DeltaDiscoveryRequest = message('envoy.service.discovery.v3.DeltaDiscoveryRequest', {
  node: sub(1, Node),
  typeUrl: string(2),
  resourceNamesSubscribe: repeated(3, string(0)),
  resourceNamesUnsubscribe: repeated(4, string(0)),
  initialResourceVersions: map(5, string(0)),
  responseNonce: string(6),
  errorDetail: sub(7, Status),
})

export const DeltaDiscoveryResponse = message('envoy.service.discovery.v3.DeltaDiscoveryResponse', {
  systemVersionInfo: string(1),
  resources: repeated(2, sub(0, Resource)),
  typeUrl: string(4),
  nonce: string(5),
  removedResources: repeated(6, string(0)),
})

// istio.workload

export const NetworkAddress = message('istio.workload.NetworkAddress', {
  network: string(1),
  address: bytes(2),
  length: optional(uint32(3)),
})
export const NamespacedHostname = message('istio.workload.NamespacedHostname', { namespace: string(1), hostname: string(2) })

export const GatewayAddress = message(
  'istio.workload.GatewayAddress',
  { hostname: sub(1, NamespacedHostname), address: sub(2, NetworkAddress), hboneMtlsPort: uint32(3) },
  [['hostname', 'address']],
)

export const Port = message('istio.workload.Port', {
  servicePort: uint32(1),
  targetPort: uint32(2),
  appProtocol: enumeration(3, { UNKNOWN: 0, HTTP11: 1, HTTP2: 2, GRPC: 3, TCP: 4, TLS: 5 }),
})
export const PortList = message('istio.workload.PortList', { ports: repeated(1, sub(0, Port)) })

export const ApplicationTunnel = message('istio.workload.ApplicationTunnel', {
  protocol: enumeration(1, { NONE: 0, PROXY: 1 }),
  port: uint32(2),
})
export const Locality = message('istio.workload.Locality', { region: string(1), zone: string(2), subzone: string(3) })
export const Extension = message('istio.workload.Extension', { name: string(1), config: sub(2, Any) })

export const LoadBalancing = message('istio.workload.LoadBalancing', {
  routingPreference: repeated(1, enumeration(0, { UNSPECIFIED_SCOPE: 0, REGION: 1, ZONE: 2, SUBZONE: 3, NODE: 4, CLUSTER: 5, NETWORK: 6 })),
  mode: enumeration(2, { UNSPECIFIED_MODE: 0, STRICT: 1, FAILOVER: 2, PASSTHROUGH: 3 }),
  healthPolicy: enumeration(3, { ONLY_HEALTHY: 0, ALLOW_ALL: 1 }),
})
export const WeightedWaypoint = message('istio.workload.WeightedWaypoint', { destination: sub(1, GatewayAddress), weight: uint32(2) })

export const Workload = message('istio.workload.Workload', {
  name: string(1),
  namespace: string(2),
  /** Each 4 or 16 bytes. */
  addresses: repeated(3, bytes(0)),
  network: string(4),
  tunnelProtocol: enumeration(5, { NONE: 0, HBONE: 1, LEGACY_ISTIO_MTLS: 2 }),
  /** Empty: cluster.local. */
  trustDomain: string(6),
  /** Empty: default. */
  serviceAccount: string(7),
  waypoint: sub(8, GatewayAddress),
  node: string(9),
  canonicalName: string(10),
  canonicalRevision: string(11),
  workloadType: enumeration(12, { DEPLOYMENT: 0, CRONJOB: 1, POD: 2, JOB: 3 }),
  workloadName: string(13),
  nativeTunnel: bool(14),
  authorizationPolicies: repeated(16, string(0)),
  status: enumeration(17, { HEALTHY: 0, UNHEALTHY: 1 }),
  clusterId: string(18),
  networkGateway: sub(19, GatewayAddress),
  uid: string(20),
  hostname: string(21),
  /** By `<namespace>/<hostname>`. */
  services: map(22, sub(0, PortList)),
  applicationTunnel: sub(23, ApplicationTunnel),
  locality: sub(24, Locality),
  networkMode: enumeration(25, { STANDARD: 0, HOST_NETWORK: 1 }),
  extensions: repeated(26, sub(0, Extension)),
  /** Absent: 1. */
  capacity: sub(27, UInt32Value),
})

export const Service = message('istio.workload.Service', {
  name: string(1),
  namespace: string(2),
  hostname: string(3),
  addresses: repeated(4, sub(0, NetworkAddress)),
  ports: repeated(5, sub(0, Port)),
  subjectAltNames: repeated(6, string(0)),
  waypoint: sub(7, GatewayAddress),
  loadBalancing: sub(8, LoadBalancing),
  ipFamilies: enumeration(9, { AUTOMATIC: 0, IPV4_ONLY: 1, IPV6_ONLY: 2, DUAL: 3 }),
  extensions: repeated(10, sub(0, Extension)),
  canonical: bool(11),
  ingressUseWaypoint: bool(12),
  weightedWaypoints: repeated(13, sub(0, WeightedWaypoint)),
  visibility: enumeration(14, { PUBLIC: 0, NAMESPACE: 1 }),
})

export const Address = message('istio.workload.Address', { workload: sub(1, Workload), service: sub(2, Service) }, [
  ['workload', 'service'],
])

// istio.security

export const StringMatch = message(
  'istio.security.StringMatch',
  { exact: optional(string(1)), prefix: optional(string(2)), suffix: optional(string(3)), presence: sub(4, Empty) },
  [['exact', 'prefix', 'suffix', 'presence']],
)
/** A block of addresses; the package's own Address. */
export const AddressBlock = message('istio.security.Address', { address: bytes(1), length: uint32(2) })
export const ServiceAccountMatch = message('istio.security.ServiceAccountMatch', { namespace: string(1), serviceAccount: string(2) })

export const Match = message('istio.security.Match', {
  namespaces: repeated(1, sub(0, StringMatch)),
  notNamespaces: repeated(2, sub(0, StringMatch)),
  principals: repeated(3, sub(0, StringMatch)),
  notPrincipals: repeated(4, sub(0, StringMatch)),
  sourceIps: repeated(5, sub(0, AddressBlock)),
  notSourceIps: repeated(6, sub(0, AddressBlock)),
  destinationIps: repeated(7, sub(0, AddressBlock)),
  notDestinationIps: repeated(8, sub(0, AddressBlock)),
  destinationPorts: repeated(9, uint32(0)),
  notDestinationPorts: repeated(10, uint32(0)),
  serviceAccounts: repeated(11, sub(0, ServiceAccountMatch)),
  notServiceAccounts: repeated(12, sub(0, ServiceAccountMatch)),
  extensions: repeated(13, sub(0, Extension)),
})
/** OR of its matches. */
export const Clause = message('istio.security.Clause', { matches: repeated(2, sub(0, Match)) })
/** AND of its clauses. */
export const Rule = message('istio.security.Rule', { clauses: repeated(1, sub(0, Clause)) })

export const Authorization = message('istio.security.Authorization', {
  name: string(1),
  namespace: string(2),
  scope: enumeration(3, { GLOBAL: 0, NAMESPACE: 1, WORKLOAD_SELECTOR: 2 }),
  action: enumeration(4, { ALLOW: 0, DENY: 1 }),
  /** OR of its rules. */
  rules: repeated(5, sub(0, Rule)),
  dryRun: bool(6),
  extensions: repeated(7, sub(0, Extension)),
})

// istio.v1.auth

export const IstioCertificateRequest = message('istio.v1.auth.IstioCertificateRequest', {
  /** PEM. */
  csr: string(1),
  /** Seconds. */
  validityDuration: int64(3),
  metadata: struct(4),
})
/** PEM texts: leaf first, roots last. */
export const IstioCertificateResponse = message('istio.v1.auth.IstioCertificateResponse', { certChain: repeated(1, string(0)) })

export type Any = Decoded<typeof Any>
export type Status = Decoded<typeof Status>
export type Node = Decoded<typeof Node>
export type Resource = Decoded<typeof Resource>
export type DeltaDiscoveryRequest = Decoded<typeof DeltaDiscoveryRequest>
export type DeltaDiscoveryResponse = Decoded<typeof DeltaDiscoveryResponse>
export type NetworkAddress = Decoded<typeof NetworkAddress>
export type GatewayAddress = Decoded<typeof GatewayAddress>
export type Port = Decoded<typeof Port>
export type Workload = Decoded<typeof Workload>
export type Service = Decoded<typeof Service>
export type Address = Decoded<typeof Address>
export type StringMatch = Decoded<typeof StringMatch>
export type AddressBlock = Decoded<typeof AddressBlock>
export type Match = Decoded<typeof Match>
export type Authorization = Decoded<typeof Authorization>
export type IstioCertificateRequest = Decoded<typeof IstioCertificateRequest>
export type IstioCertificateResponse = Decoded<typeof IstioCertificateResponse>

export type DeltaDiscoveryRequestInit = Encodable<typeof DeltaDiscoveryRequest>
export type DeltaDiscoveryResponseInit = Encodable<typeof DeltaDiscoveryResponse>
export type ResourceInit = Encodable<typeof Resource>
export type WorkloadInit = Encodable<typeof Workload>
export type ServiceInit = Encodable<typeof Service>
export type AuthorizationInit = Encodable<typeof Authorization>
export type MatchInit = Encodable<typeof Match>
export type IstioCertificateRequestInit = Encodable<typeof IstioCertificateRequest>
export type IstioCertificateResponseInit = Encodable<typeof IstioCertificateResponse>

/** Of `Resource.resource` and of requests and responses. */
export const typeUrls = {
  address: 'type.googleapis.com/istio.workload.Address',
  authorization: 'type.googleapis.com/istio.security.Authorization',
} as const
