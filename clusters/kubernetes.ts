/** A Kubernetes object as it travels over the API: enough of its shape for code that handles any kind. */
export interface KubernetesObject {
  apiVersion: string
  kind: string
  metadata: {
    name: string
    namespace?: string
    uid?: string
    resourceVersion?: string
    labels?: Record<string, string>
    annotations?: Record<string, string>
    [key: string]: unknown
  }
  [key: string]: unknown
}

/** The fields of a Pod that the providers read. */
export interface Pod extends KubernetesObject {
  spec: {
    nodeName?: string
    serviceAccountName?: string
    hostNetwork?: boolean
    hostname?: string
    subdomain?: string
    containers: { name: string; image?: string; ports?: { name?: string; containerPort: number; protocol?: string }[] }[]
    [key: string]: unknown
  }
  status?: {
    phase?: string
    reason?: string
    message?: string
    podIP?: string
    podIPs?: { ip: string }[]
    hostIP?: string
    conditions?: { type: string; status: string; reason?: string; message?: string }[]
    initContainerStatuses?: ContainerStatus[]
    containerStatuses?: ContainerStatus[]
    [key: string]: unknown
  }
}

export interface ContainerStatus {
  name: string
  ready?: boolean
  restartCount?: number
  state?: {
    waiting?: { reason?: string; message?: string }
    running?: object
    terminated?: { exitCode: number; reason?: string; message?: string }
  }
  lastState?: ContainerStatus['state']
}

export interface ServicePort {
  name?: string
  port: number
  targetPort?: number | string
  protocol?: string
}

export interface Service extends KubernetesObject {
  spec: {
    type?: string
    clusterIP?: string
    clusterIPs?: string[]
    ipFamilies?: ('IPv4' | 'IPv6')[]
    selector?: Record<string, string>
    ports?: ServicePort[]
    publishNotReadyAddresses?: boolean
    [key: string]: unknown
  }
}

export interface Endpoint {
  addresses: string[]
  conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean }
  hostname?: string
  nodeName?: string
  targetRef?: { kind?: string; name?: string; namespace?: string }
}

/** `discovery.k8s.io/v1`; label `kubernetes.io/service-name` says whose it is. */
export interface EndpointSlice extends KubernetesObject {
  addressType: string
  endpoints?: Endpoint[]
  ports?: { name?: string; port?: number; protocol?: string }[]
}

/** `ns/name`, or the name alone for objects that are in no namespace. */
export function keyOf({ metadata }: KubernetesObject): string {
  return metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`
}
