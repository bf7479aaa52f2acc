import { defaultTrustDomain } from '../../lib/identity.ts'
import type { Workload as WorkloadMessage } from '../../lib/xds/messages.ts'
import type { Workload } from '../state/types.ts'
import { addressText, gateway, known } from './gateway.ts'

const protocols = { NONE: 'TCP', HBONE: 'HBONE', LEGACY_ISTIO_MTLS: 'TCP' } as const
const types = { DEPLOYMENT: 'deployment', CRONJOB: 'cronjob', POD: 'pod', JOB: 'job' } as const
const statuses = { HEALTHY: 'Healthy', UNHEALTHY: 'Unhealthy' } as const
const networkModes = { STANDARD: 'Standard', HOST_NETWORK: 'HostNetwork' } as const
const tunnels = { NONE: 'NONE', PROXY: 'PROXY' } as const

/** `istio.workload.Workload` as ztunnel keeps it, with upstream's defaults (fact sheet: in-pod mode, 5.3). @throws Error naming the field */
export function workloadFrom(w: WorkloadMessage): Workload {
  if (w.uid === '') throw new Error('uid is empty')
  const { applicationTunnel: tunnel, locality } = w
  return {
    uid: w.uid,
    name: w.name,
    namespace: w.namespace,
    workloadIps: w.addresses.map((bytes, i) => addressText(bytes, `addresses[${i}]`)),
    network: w.network,
    protocol: known(protocols, w.tunnelProtocol, 'tunnel_protocol'),
    networkMode: known(networkModes, w.networkMode, 'network_mode'),
    trustDomain: w.trustDomain || defaultTrustDomain,
    serviceAccount: w.serviceAccount || 'default',
    workloadName: w.workloadName,
    workloadType: known(types, w.workloadType, 'workload_type'),
    canonicalName: w.canonicalName,
    canonicalRevision: w.canonicalRevision,
    hostname: w.hostname,
    node: w.node,
    nativeTunnel: w.nativeTunnel,
    ...(tunnel && {
      applicationTunnel: {
        protocol: known(tunnels, tunnel.protocol, 'application_tunnel.protocol'),
        ...(tunnel.port !== 0 && { port: tunnel.port }),
      },
    }),
    authorizationPolicies: w.authorizationPolicies,
    status: known(statuses, w.status, 'status'),
    clusterId: w.clusterId,
    ...(locality && { locality: { region: locality.region, zone: locality.zone, subzone: locality.subzone } }),
    capacity: w.capacity?.value ?? 1,
    ...(w.waypoint && { waypoint: gateway(w.waypoint, 'waypoint') }),
    ...(w.networkGateway && { networkGateway: gateway(w.networkGateway, 'network_gateway') }),
    services: Object.fromEntries(
      Object.entries(w.services).map(([key, { ports }]) => {
        if (!/^[^/]+\/[^/]+$/.test(key)) throw new Error(`services: ${JSON.stringify(key)} is not <namespace>/<hostname>`)
        return [key, Object.fromEntries(ports.map((p) => [p.servicePort, p.targetPort]))]
      }),
    ),
  }
}
