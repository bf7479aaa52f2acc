import type { Service as ServiceMessage } from '../../lib/xds/messages.ts'
import type { LoadBalancer, Scope, Service } from '../state/types.ts'
import { addressText, gateway, known } from './gateway.ts'

const scopes: Readonly<Record<string, Scope>> = {
  REGION: 'Region',
  ZONE: 'Zone',
  SUBZONE: 'Subzone',
  NODE: 'Node',
  CLUSTER: 'Cluster',
  NETWORK: 'Network',
}
const modes = { UNSPECIFIED_MODE: 'Standard', STRICT: 'Strict', FAILOVER: 'Failover', PASSTHROUGH: 'Passthrough' } as const
const healthPolicies = { ONLY_HEALTHY: 'OnlyHealthy', ALLOW_ALL: 'AllowAll' } as const
const families = { AUTOMATIC: null, IPV4_ONLY: 'IPv4', IPV6_ONLY: 'IPv6', DUAL: 'Dual' } as const
const visibilities = { PUBLIC: 'Public', NAMESPACE: 'Namespace' } as const

/** `istio.workload.Service` as ztunnel keeps it (fact sheet: in-pod mode, 5.3). Address ranges are not VIPs here. @throws Error naming the field */
export function serviceFrom(s: ServiceMessage): Service {
  for (const field of ['namespace', 'hostname'] as const) if (s[field] === '') throw new Error(`${field} is empty`)
  const family = known<string | null>(families, s.ipFamilies, 'ip_families') as Service['ipFamilies'] | null
  const vips = s.addresses.flatMap((a, i) => {
    const ip = addressText(a.address, `addresses[${i}]`)
    return a.length !== undefined && a.length < a.address.length * 8 ? [] : [`${a.network}/${ip}`]
  })
  return {
    name: s.name,
    namespace: s.namespace,
    hostname: s.hostname,
    vips,
    ports: Object.fromEntries(s.ports.map((p) => [p.servicePort, p.targetPort])),
    subjectAltNames: s.subjectAltNames,
    ...(s.waypoint && { waypoint: gateway(s.waypoint, 'waypoint') }),
    ...(s.weightedWaypoints.length > 0 && {
      weightedWaypoints: s.weightedWaypoints.map(({ destination, weight }, i) => ({
        ...gateway(destination ?? { hboneMtlsPort: 0 }, `weighted_waypoints[${i}].destination`),
        weight,
      })),
    }),
    ...(s.loadBalancing && { loadBalancer: loadBalancer(s.loadBalancing) }),
    ...(family && { ipFamilies: family }),
    canonical: s.canonical,
    visibility: known(visibilities, s.visibility, 'visibility'),
  }
}

function loadBalancer(from: NonNullable<ServiceMessage['loadBalancing']>): LoadBalancer {
  return {
    routingPreferences: from.routingPreference.map((scope, i) => known(scopes, scope, `load_balancing.routing_preference[${i}]`)),
    mode: known(modes, from.mode, 'load_balancing.mode'),
    healthPolicy: known(healthPolicies, from.healthPolicy, 'load_balancing.health_policy'),
  }
}
