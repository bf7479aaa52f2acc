/** Kubernetes objects, as far as the control plane reads them. */
export interface KubeObject {
  apiVersion?: string
  kind?: string
  metadata: {
    name: string
    namespace?: string
    uid?: string
    resourceVersion?: string
    labels?: Record<string, string>
    annotations?: Record<string, string>
    creationTimestamp?: string
    deletionTimestamp?: string
    ownerReferences?: { kind: string; name: string; controller?: boolean }[]
  }
}

export interface Pod extends KubeObject {
  spec: {
    nodeName?: string
    serviceAccountName?: string
    hostNetwork?: boolean
    containers: { ports?: { name?: string; containerPort: number; protocol?: string }[] }[]
  }
  status?: {
    phase?: string
    podIP?: string
    podIPs?: { ip: string }[]
    conditions?: { type: string; status: string }[]
  }
}

export interface ServicePort {
  name?: string
  port: number
  targetPort?: number | string
  protocol?: string
  appProtocol?: string
}

export interface Service extends KubeObject {
  spec: {
    type?: string
    clusterIP?: string
    clusterIPs?: string[]
    ipFamilies?: string[]
    selector?: Record<string, string>
    ports?: ServicePort[]
    publishNotReadyAddresses?: boolean
    internalTrafficPolicy?: string
    trafficDistribution?: string
  }
}

/** `discovery.k8s.io/v1`; label `kubernetes.io/service-name` says whose it is. */
export interface EndpointSlice extends KubeObject {
  addressType: string
  endpoints?: {
    addresses: string[]
    conditions?: { ready?: boolean }
    targetRef?: { kind?: string; name?: string; namespace?: string; uid?: string }
  }[]
  ports?: { name?: string; port?: number; protocol?: string }[]
}

export type Node = KubeObject
export type Namespace = KubeObject

export interface Source {
  principals?: string[]
  notPrincipals?: string[]
  namespaces?: string[]
  notNamespaces?: string[]
  serviceAccounts?: string[]
  notServiceAccounts?: string[]
  ipBlocks?: string[]
  notIpBlocks?: string[]
  [layer7: string]: unknown
}

export interface Operation {
  ports?: string[]
  notPorts?: string[]
  [layer7: string]: unknown
}

export interface Condition {
  key: string
  values?: string[]
  notValues?: string[]
}

export interface AuthorizationRule {
  from?: { source?: Source }[]
  to?: { operation?: Operation }[]
  when?: Condition[]
}

interface Selector {
  matchLabels?: Record<string, string>
}

/** `security.istio.io/v1` */
export interface AuthorizationPolicy extends KubeObject {
  spec?: {
    selector?: Selector
    targetRef?: object
    targetRefs?: object[]
    action?: string
    rules?: AuthorizationRule[]
  }
}

export interface MutualTls {
  mode?: string
}

/** `security.istio.io/v1` */
export interface PeerAuthentication extends KubeObject {
  spec?: {
    selector?: Selector
    mtls?: MutualTls
    portLevelMtls?: Record<string, MutualTls>
  }
}

/** `ns/name`, or the name alone for objects that are in no namespace. */
export function keyOf({ metadata }: KubeObject): string {
  return metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`
}
