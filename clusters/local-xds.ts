import { stringify } from 'yaml'
import { type KubernetesObject, keyOf, type Pod, type Service, type ServicePort } from './kubernetes.ts'
import { isStrict, type PeerAuthentication, strictPolicy } from './local-xds-authentication.ts'
import { type AuthorizationPolicy, convertPolicy, type LocalPolicy } from './local-xds-policies.ts'
import { meshNamespace } from './manifests/names.ts'

export interface LocalXdsObjects {
  readonly pods: readonly Pod[]
  readonly services: readonly Service[]
  readonly policies: readonly AuthorizationPolicy[]
  readonly authentications: readonly PeerAuthentication[]
  readonly namespaces: readonly KubernetesObject[]
}

export const redirectionAnnotation = 'ambient.istio.io/redirection'
const clusterDomain = 'cluster.local'
const clusterId = 'Kubernetes'

/**
 * What ztunnel's local form (`LOCAL_XDS_PATH`) says of a cluster, with the values that Istio's control plane would push: workloads, services, policies.
 * Equal objects give equal text, whatever their order.
 * @returns YAML
 */
export function localXds({ pods, services, policies, authentications, namespaces }: LocalXdsObjects): string {
  const going = new Set(namespaces.filter((n) => n.metadata.deletionTimestamp).map((n) => n.metadata.name))
  const sorted = [...policies].filter((p) => !going.has(p.metadata.namespace ?? '')).sort(byKey)
  const converted = sorted.flatMap((policy) => {
    const local = convertPolicy(policy, meshNamespace)
    return local ? [{ policy, local }] : []
  })
  const state = {
    workloads: pods
      .filter(isWorkload)
      .sort(byKey)
      .map((pod) => workload(pod, services, converted, isStrict(pod, authentications, meshNamespace))),
    services: [...services]
      .filter((s) => s.spec.type !== 'ExternalName')
      .sort(byKey)
      .map(service),
    policies: [...converted.map(({ local }) => local), ...(authentications.length > 0 ? [strictPolicy(meshNamespace)] : [])],
  }
  return stringify(state, { aliasDuplicateObjects: false, lineWidth: 0 })
}

/** A pod has a place in the mesh from its address on until it has ended. */
function isWorkload(pod: Pod): boolean {
  return Boolean(pod.status?.podIP) && pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed'
}

function workload(
  pod: Pod,
  services: readonly Service[],
  policies: readonly { policy: AuthorizationPolicy; local: LocalPolicy }[],
  strict: boolean,
): object {
  const { name, namespace = '', labels = {}, annotations = {} } = pod.metadata
  const { spec, status } = pod
  const owner = workloadOwner(pod)
  const nativeTunnel = labels['networking.istio.io/tunnel'] === 'http'
  const ready = status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True')
  const serving = services.filter(
    (s) => s.metadata.namespace === namespace && selects(s.spec.selector, labels) && s.spec.type !== 'ExternalName',
  )
  return {
    uid: `${clusterId}//Pod/${namespace}/${name}`,
    name,
    namespace,
    workloadIps: status?.podIPs?.map((x) => x.ip) ?? [status?.podIP],
    protocol: annotations[redirectionAnnotation] === 'enabled' || nativeTunnel ? 'HBONE' : 'TCP',
    ...(nativeTunnel ? { nativeTunnel } : {}),
    networkMode: spec.hostNetwork ? 'HostNetwork' : 'Standard',
    network: '',
    node: spec.nodeName ?? '',
    trustDomain: clusterDomain,
    serviceAccount: spec.serviceAccountName ?? 'default',
    workloadName: owner.name,
    workloadType: owner.type,
    canonicalName: labels['service.istio.io/canonical-name'] ?? labels['app.kubernetes.io/name'] ?? labels.app ?? owner.name,
    canonicalRevision: labels['service.istio.io/canonical-revision'] ?? labels['app.kubernetes.io/version'] ?? labels.version ?? 'latest',
    status: ready ? 'Healthy' : 'Unhealthy',
    clusterId,
    authorizationPolicies: [
      ...policies
        .filter(({ policy, local }) => local.scope === 'WorkloadSelector' && appliesTo(policy, namespace, labels))
        .map(({ policy }) => keyOf(policy)),
      ...(strict ? [policyName(strictPolicy(meshNamespace))] : []),
    ],
    services: Object.fromEntries([...serving].sort(byKey).map((s) => [`${namespace}/${hostname(s)}`, new Map(portPairs(s, pod))])),
  }
}

/** A policy with a selector holds in its own namespace; in the mesh's own namespace, everywhere. */
function appliesTo(policy: AuthorizationPolicy, namespace: string, labels: Record<string, string>): boolean {
  const home = policy.metadata.namespace
  return (home === namespace || home === meshNamespace) && selects(policy.spec?.selector?.matchLabels ?? {}, labels, true)
}

function service(from: Service): object {
  const { name, namespace } = from.metadata
  const vips = (from.spec.clusterIPs ?? [from.spec.clusterIP]).filter((ip) => ip && ip !== 'None')
  return {
    name,
    namespace,
    hostname: hostname(from),
    vips: vips.map((ip) => `/${ip}`),
    // A map, so that ports stay numbers in YAML; 0: each pod's own, by name.
    ports: new Map(tcpPorts(from).map((p) => [p.port, typeof p.targetPort === 'string' ? 0 : (p.targetPort ?? p.port)])),
    subjectAltNames: [],
    ...ipFamilies(from),
  }
}

/** As Istio tells it since 1.24: nothing where Kubernetes says nothing. */
function ipFamilies({ spec }: Service): { ipFamilies?: 'IPv4' | 'IPv6' | 'Dual' } {
  const families = spec.ipFamilies ?? []
  const [first] = families
  return first ? { ipFamilies: families.length > 1 ? 'Dual' : first } : {}
}

function hostname({ metadata }: Service): string {
  return `${metadata.name}.${metadata.namespace}.svc.${clusterDomain}`
}

function tcpPorts({ spec }: Service): ServicePort[] {
  return (spec.ports ?? []).filter((p) => (p.protocol ?? 'TCP') === 'TCP')
}

/** [service port, the pod's port], without named ports that the pod does not have. */
function portPairs(from: Service, pod: Pod): [number, number][] {
  return tcpPorts(from).flatMap(({ port, targetPort }): [number, number][] => {
    if (typeof targetPort === 'string') {
      const named = pod.spec.containers.flatMap((c) => c.ports ?? []).find((p) => p.name === targetPort)
      return named ? [[port, named.containerPort]] : []
    }
    return [[port, targetPort ?? port]]
  })
}

/** @param ifEmpty what a selector without labels selects; for services nothing */
function selects(selector: Record<string, string> | undefined, labels: Record<string, string>, ifEmpty = false): boolean {
  const wanted = Object.entries(selector ?? {})
  return wanted.length === 0 ? ifEmpty : wanted.every(([key, value]) => labels[key] === value)
}

/** As Istio names a pod's workload: its Deployment, Job or CronJob, or whatever else owns it as type `pod`. */
function workloadOwner(pod: Pod): { name: string; type: string } {
  const owners = (pod.metadata.ownerReferences ?? []) as { kind: string; name: string; controller?: boolean }[]
  const owner = owners.find((o) => o.controller)
  const hash = pod.metadata.labels?.['pod-template-hash']
  if (owner?.kind === 'ReplicaSet' && hash && owner.name.endsWith(`-${hash}`))
    return { name: owner.name.slice(0, -hash.length - 1), type: 'deployment' }
  if (owner?.kind === 'Job') return { name: owner.name, type: 'job' }
  return { name: owner?.name ?? pod.metadata.name, type: 'pod' }
}

const policyName = ({ namespace, name }: LocalPolicy) => `${namespace}/${name}`

function byKey(a: KubernetesObject, b: KubernetesObject): number {
  const [x, y] = [keyOf(a), keyOf(b)]
  return x < y ? -1 : x > y ? 1 : 0
}
