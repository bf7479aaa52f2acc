import { type Address, parseAuthority } from './address.ts'
import { targetPort } from './balance.ts'
import { illegalPorts } from './config.ts'
import type { MeshState } from './state/store.ts'
import { type Service, serviceKey, type Workload } from './state/types.ts'

/** What a CONNECT that came in on 15008 is for: the application's address and the services it can belong to, or an HTTP status with the reason. */
export type InboundTarget =
  | { readonly to: Address; readonly services: readonly Service[]; readonly error?: undefined }
  | { readonly status: 400 | 503; readonly error: string }

/**
 * Checks and resolves the authority of an inbound CONNECT (fact sheet: in-pod mode, 4.5). Pure.
 * @param arrivedAt the address that the TCP connection was made to
 */
export function inboundTarget(state: MeshState, workload: Workload, arrivedAt: string, authority: string): InboundTarget {
  const asked = parseAuthority(authority)
  if (!asked) return { status: 400, error: `invalid CONNECT address ${JSON.stringify(authority.slice(0, 300))}` }
  let port = asked.port
  let services: readonly Service[]
  if (asked.hostname !== undefined) {
    const found = state.servicesWithHost(asked.hostname)
    const service = found.find((s) => s.namespace === workload.namespace) ?? found[0]
    if (!service) return { status: 503, error: `unknown destination: no service has the hostname ${asked.hostname}` }
    const endpoint = state.endpointsOf(serviceKey(service)).get(workload.uid)
    const resolved = targetPort(service, endpoint, asked.port)
    if (resolved === undefined) return { status: 503, error: `no valid target port for workload: ${asked.hostname}:${asked.port}` }
    port = resolved
    services = [service]
  } else {
    if (asked.address !== arrivedAt && !workload.applicationTunnel && !isOurWaypoint(state, workload, arrivedAt, asked.address))
      return { status: 400, error: `ip mismatch: ${arrivedAt} != ${asked.address}` }
    services = state.servicesOf(workload)
  }
  if (illegalPorts.includes(port)) return { status: 503, error: 'attempted recursive call to ourselves' }
  if (workload.applicationTunnel?.protocol === 'PROXY')
    return { status: 503, error: `unknown destination: ${workload.uid} wants the PROXY protocol, which this ztunnel does not speak yet` }
  return { to: { address: arrivedAt, port: workload.applicationTunnel?.port ?? port }, services }
}

/** The pod is a waypoint that receives plain bytes for the services or workloads that name it. */
function isOurWaypoint(state: MeshState, workload: Workload, arrivedAt: string, asked: string): boolean {
  const target = state.serviceAt(workload.network, asked) ?? state.workloadAt(workload.network, asked)
  const destination = target?.waypoint?.destination
  if (!destination) return false
  const service =
    state.services.get(destination) ??
    state.serviceAt(destination.slice(0, destination.indexOf('/')), destination.slice(destination.indexOf('/') + 1))
  if (service) return state.endpointsOf(serviceKey(service)).has(workload.uid)
  return destination === `${workload.network}/${arrivedAt}`
}

/**
 * Which service an inbound connection most likely belongs to, for the log: the one that the client named, if it is one of the workload's,
 * else the first that has the port as a target.
 */
export function guessService(
  state: MeshState,
  workload: Workload,
  services: readonly Service[],
  port: number,
  named?: string,
): Service | undefined {
  const match = named && services.find((s) => s.hostname.toLowerCase() === named.toLowerCase())
  return match || services.find((s) => Object.values(state.endpointsOf(serviceKey(s)).get(workload.uid)?.port ?? {}).includes(port))
}
