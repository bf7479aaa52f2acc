/** The mesh as ztunnel knows it. Names are those of upstream's `/config_dump` and local YAML form (fact sheet: in-pod mode, 4.10 and 6.1). */
export interface Waypoint {
  /** `<network>/<ip>` or `<namespace>/<hostname>`. */
  readonly destination: string
  readonly hboneMtlsPort: number
}

export interface Locality {
  readonly region?: string | undefined
  readonly zone?: string | undefined
  readonly subzone?: string | undefined
}

export interface Workload {
  readonly uid: string
  readonly name: string
  readonly namespace: string
  /** Canonical text forms, as `canonicalAddress` makes them. */
  readonly workloadIps: readonly string[]
  readonly network: string
  readonly protocol: 'HBONE' | 'TCP'
  readonly networkMode: 'Standard' | 'HostNetwork'
  readonly trustDomain: string
  readonly serviceAccount: string
  readonly workloadName: string
  readonly workloadType: 'deployment' | 'cronjob' | 'pod' | 'job'
  readonly canonicalName: string
  readonly canonicalRevision: string
  readonly hostname: string
  readonly node: string
  readonly nativeTunnel: boolean
  readonly applicationTunnel?: { readonly protocol: 'NONE' | 'PROXY'; readonly port?: number | undefined } | undefined
  /** `<namespace>/<name>` of policies that select this workload. */
  readonly authorizationPolicies: readonly string[]
  readonly status: 'Healthy' | 'Unhealthy'
  readonly clusterId: string
  readonly locality?: Locality | undefined
  readonly capacity: number
  readonly waypoint?: Waypoint | undefined
  readonly networkGateway?: Waypoint | undefined
  /** `<namespace>/<hostname>` → service port → target port. */
  readonly services: Readonly<Record<string, Readonly<Record<string, number>>>>
}

export type Scope = 'Region' | 'Zone' | 'Subzone' | 'Node' | 'Cluster' | 'Network'

export interface LoadBalancer {
  readonly routingPreferences: readonly Scope[]
  readonly mode: 'Standard' | 'Strict' | 'Failover' | 'Passthrough'
  readonly healthPolicy: 'OnlyHealthy' | 'AllowAll'
}

export interface Service {
  readonly name: string
  readonly namespace: string
  readonly hostname: string
  /** `<network>/<ip>`; none: headless. */
  readonly vips: readonly string[]
  /** Service port → target port; 0: the endpoint says. */
  readonly ports: Readonly<Record<string, number>>
  readonly subjectAltNames: readonly string[]
  readonly waypoint?: Waypoint | undefined
  /** Several waypoints that share the service's traffic. */
  readonly weightedWaypoints?: readonly (Waypoint & { readonly weight: number })[] | undefined
  readonly loadBalancer?: LoadBalancer | undefined
  readonly ipFamilies?: 'IPv4' | 'IPv6' | 'Dual' | undefined
  readonly canonical: boolean
  readonly visibility: 'Public' | 'Namespace'
}

export interface Endpoint {
  readonly workloadUid: string
  readonly port: Readonly<Record<string, number>>
  readonly status: Workload['status']
}

export type StringMatch = { readonly Exact: string } | { readonly Prefix: string } | { readonly Suffix: string } | 'Presence'
export interface ServiceAccountMatch {
  readonly namespace: string
  readonly serviceAccount: string
}

/** AND over the kinds that are set, OR inside a kind, no member of a `not…` list may match. CIDRs as text. */
export interface PolicyMatch {
  readonly namespaces?: readonly StringMatch[] | undefined
  readonly notNamespaces?: readonly StringMatch[] | undefined
  readonly serviceAccounts?: readonly ServiceAccountMatch[] | undefined
  readonly notServiceAccounts?: readonly ServiceAccountMatch[] | undefined
  readonly principals?: readonly StringMatch[] | undefined
  readonly notPrincipals?: readonly StringMatch[] | undefined
  readonly sourceIps?: readonly string[] | undefined
  readonly notSourceIps?: readonly string[] | undefined
  readonly destinationIps?: readonly string[] | undefined
  readonly notDestinationIps?: readonly string[] | undefined
  readonly destinationPorts?: readonly number[] | undefined
  readonly notDestinationPorts?: readonly number[] | undefined
}

export interface Policy {
  readonly name: string
  readonly namespace: string
  readonly scope: 'Global' | 'Namespace' | 'WorkloadSelector'
  readonly action: 'Allow' | 'Deny'
  /** OR of rules, AND of clauses, OR of matches. */
  readonly rules: readonly (readonly (readonly PolicyMatch[])[])[]
  readonly dryRun: boolean
}

/** Everything at one moment. */
export interface Resources {
  readonly workloads: readonly Workload[]
  readonly services: readonly Service[]
  readonly policies: readonly Policy[]
}

export const serviceKey = (service: { namespace: string; hostname: string }): string => `${service.namespace}/${service.hostname}`
export const policyKey = (policy: { namespace: string; name: string }): string => `${policy.namespace}/${policy.name}`
