import type { WorkloadInit } from '../../lib/xds/messages.ts'
import type { EndpointSlice, Service } from '../kubernetes/objects.ts'
import { addressBytes } from './address.ts'
import { serviceKey } from './service.ts'
import type { MeshSettings } from './settings.ts'

/** The name of the Service that a slice is for; undefined if it is for none, or holds no addresses. */
export function serviceNameOf(slice: EndpointSlice): string | undefined {
  return slice.addressType === 'FQDN' ? undefined : slice.metadata.labels?.['kubernetes.io/service-name']
}

/** Workloads for endpoints that are no pods, such as the API server: little is known of them but their address. */
export function convertEndpointSlice(slice: EndpointSlice, service: Service, settings: MeshSettings): WorkloadInit[] {
  const { name, namespace = '' } = slice.metadata
  const byName = new Map(service.spec.ports?.map((p) => [p.name ?? '', p.port]))
  const ports = (slice.ports ?? []).flatMap(({ name: portName = '', port, protocol }) => {
    const servicePort = byName.get(portName)
    return port !== undefined && (protocol ?? 'TCP') === 'TCP' && servicePort !== undefined ? [{ servicePort, targetPort: port }] : []
  })
  const workloads = new Map<string, WorkloadInit>()
  for (const { addresses, conditions, targetRef } of slice.endpoints ?? []) {
    const [first] = addresses
    const converted = addresses.flatMap((ip) => addressBytes(ip) ?? [])
    if (targetRef?.kind === 'Pod' || first === undefined || converted.length < addresses.length) continue
    const uid = `${settings.clusterId}/discovery.k8s.io/EndpointSlice/${namespace}/${name}/${first}`
    if (workloads.has(uid)) continue
    workloads.set(uid, {
      uid,
      name,
      namespace,
      addresses: converted,
      network: settings.network,
      trustDomain: settings.trustDomain === 'cluster.local' ? '' : settings.trustDomain,
      clusterId: settings.clusterId,
      status: conditions?.ready === false ? 'UNHEALTHY' : 'HEALTHY',
      // Its address may be shared with anything.
      networkMode: 'HOST_NETWORK',
      services: { [serviceKey(namespace, service.metadata.name, settings)]: { ports } },
    })
  }
  return [...workloads.values()]
}
