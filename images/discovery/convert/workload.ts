import type { WorkloadInit } from '../../lib/xds/messages.ts'
import { keyOf, type Node, type Pod, type Service } from '../kubernetes/objects.ts'
import { addressBytes } from './address.ts'
import { portsOf, serviceKey } from './service.ts'
import type { MeshSettings } from './settings.ts'

export const redirectionAnnotation = 'ambient.istio.io/redirection'
const tunnelLabel = 'networking.istio.io/tunnel'

/** What else a pod's workload says of the objects around it. */
export interface Surroundings {
  /** The Services that have the pod as an endpoint. */
  readonly services: readonly Service[]
  /** Names of the policies that select it, in order. */
  readonly policies: readonly string[]
  readonly node: Node | undefined
}

export function podUid(namespace: string, name: string, { clusterId }: MeshSettings): string {
  return `${clusterId}//Pod/${namespace}/${name}`
}

/** As ztunnel sees a pod; undefined while it has no address, and when it has ended. */
export function convertPod(pod: Pod, around: Surroundings, settings: MeshSettings): WorkloadInit | undefined {
  const { name, namespace = '', labels = {}, annotations = {} } = pod.metadata
  const addresses = podAddresses(pod)
  if (!addresses || hasEnded(pod)) return undefined
  const workloadName = ownerName(pod)
  const native = labels[tunnelLabel]?.split(',').includes('http') ?? false
  const locality = localityOf(around.node)
  return {
    uid: podUid(namespace, name, settings),
    name,
    namespace,
    addresses,
    network: settings.network,
    tunnelProtocol: native || annotations[redirectionAnnotation] === 'enabled' ? 'HBONE' : 'NONE',
    nativeTunnel: native,
    trustDomain: settings.trustDomain === 'cluster.local' ? '' : settings.trustDomain,
    serviceAccount: pod.spec.serviceAccountName ?? '',
    node: pod.spec.nodeName ?? '',
    networkMode: pod.spec.hostNetwork ? 'HOST_NETWORK' : 'STANDARD',
    workloadName,
    // Whatever owns it, as Istio tells it today.
    workloadType: 'POD',
    canonicalName: labels['service.istio.io/canonical-name'] ?? labels['app.kubernetes.io/name'] ?? labels.app ?? workloadName,
    canonicalRevision: labels['service.istio.io/canonical-revision'] ?? labels['app.kubernetes.io/version'] ?? labels.version ?? 'latest',
    clusterId: settings.clusterId,
    status: isHealthy(pod) ? 'HEALTHY' : 'UNHEALTHY',
    authorizationPolicies: around.policies,
    services: Object.fromEntries(
      [...around.services]
        .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
        .map((s) => [serviceKey(s.metadata.namespace ?? '', s.metadata.name, settings), { ports: portsOf(s, pod) }]),
    ),
    ...(locality ? { locality } : {}),
  }
}

/** All of the pod's addresses; undefined if there is none or one of them is none. */
function podAddresses({ status }: Pod): Uint8Array[] | undefined {
  const texts = status?.podIPs?.length ? status.podIPs.map((x) => x.ip) : status?.podIP ? [status.podIP] : []
  const addresses = texts.flatMap((ip) => addressBytes(ip) ?? [])
  return addresses.length > 0 && addresses.length === texts.length ? addresses : undefined
}

export function hasEnded({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed'
}

/** A pod that goes gets no new connections. */
function isHealthy({ metadata, status }: Pod): boolean {
  return metadata.deletionTimestamp === undefined && (status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false)
}

/** What made the pod: its Deployment (by way of a ReplicaSet), its CronJob (by way of a Job), or its owner; otherwise itself. */
function ownerName({ metadata }: Pod): string {
  const owner = metadata.ownerReferences?.find((o) => o.controller)
  if (!owner) return metadata.name
  const hash = metadata.labels?.['pod-template-hash']
  if (owner.kind === 'ReplicaSet' && hash && owner.name.endsWith(`-${hash}`)) return owner.name.slice(0, -hash.length - 1)
  // A CronJob names its Jobs by the minute that they are for.
  if (owner.kind === 'Job') return /^(.+)-\d{8,10}$/.exec(owner.name)?.[1] ?? owner.name
  return owner.name
}

export function localityOf(node: Node | undefined): { region: string; zone: string; subzone: string } | undefined {
  const labels = node?.metadata.labels ?? {}
  const region = labels['topology.kubernetes.io/region'] ?? ''
  const zone = labels['topology.kubernetes.io/zone'] ?? ''
  const subzone = labels['topology.istio.io/subzone'] ?? ''
  return region || zone || subzone ? { region, zone, subzone } : undefined
}
