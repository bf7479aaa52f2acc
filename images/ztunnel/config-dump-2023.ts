import type { Certificates } from './certificates.ts'
import type { MeshState } from './state/store.ts'
import type { Service, Workload } from './state/types.ts'

/**
 * `/config_dump` as releases of 2023 have it: workloads by address (fact sheet: in-pod mode, 4.10, written from 1.18; 1.20's own was not seen).
 * @param configuration the settings, in the form of any release
 */
export function configDump2023(configuration: unknown, state: MeshState, certificates: Certificates): unknown {
  const workloads = [...state.workloads.values()].flatMap((w) => w.workloadIps.map((ip) => [ip, workload(state, w, ip)] as const))
  const vips = [...state.services.values()].flatMap((s) => s.vips.map((vip) => [addressOf(vip), endpoints(state, s)] as const))
  const ofWorkload = (ip: string) => vips.filter(([, members]) => ip in members).map(([vip]) => vip)
  const policies = [...state.policies.entries()]
  return {
    workloads: Object.fromEntries(workloads),
    workload_to_vip: Object.fromEntries(workloads.map(([ip]) => [ip, ofWorkload(ip)] as const).filter(([, of]) => of.length > 0)),
    vips: Object.fromEntries(vips),
    policies: Object.fromEntries(policies),
    policies_by_namespace: Object.fromEntries(
      Object.entries(Object.groupBy(policies, ([, p]) => p.namespace)).map(([namespace, of]) => [namespace, of!.map(([key]) => key)]),
    ),
    static_config: { workloads: [], services: [], policies: [] },
    version: { version: 'unknown', gitRevision: 'unknown' },
    config: configuration,
    certificates: certificates
      .all()
      .map(({ identity, state: of, leaf }) => ({ identity, state: of, ca_cert: leaf?.rootPem ?? '', cert_chain: leaf?.chainPem ?? '' })),
  }
}

const addressOf = (vip: string) => vip.slice(vip.indexOf('/') + 1)

/** Address of each endpoint → service port → target port. */
function endpoints(state: MeshState, service: Service): Record<string, Readonly<Record<string, number>>> {
  return Object.fromEntries(
    [...state.endpointsOf(`${service.namespace}/${service.hostname}`).values()].flatMap(({ workloadUid, port }) =>
      (state.workloads.get(workloadUid)?.workloadIps ?? []).map((ip) => [ip, port] as const),
    ),
  )
}

function workload(state: MeshState, w: Workload, ip: string): unknown {
  const { protocol, name, namespace, serviceAccount, workloadName, workloadType, canonicalName, canonicalRevision, node, status } = w
  return {
    workloadIp: ip,
    waypointAddresses: w.waypoint ? waypointAddresses(state, w.waypoint.destination) : [],
    gatewayAddress: w.networkGateway?.destination ?? null,
    protocol,
    name,
    namespace,
    trustDomain: w.trustDomain,
    serviceAccount,
    workloadName,
    workloadType,
    canonicalName,
    canonicalRevision,
    node,
    nativeHbone: w.nativeTunnel,
    authorizationPolicies: w.authorizationPolicies,
    status,
    clusterId: w.clusterId,
  }
}

function waypointAddresses(state: MeshState, destination: string): string[] {
  const service = state.services.get(destination)
  return service ? service.vips.map(addressOf) : [addressOf(destination)]
}
