import { formatIdentity } from '../lib/identity.ts'
import { type Address, formatAddress, isLoopback } from './address.ts'
import { type Choice, chooseEndpoint } from './balance.ts'
import { illegalPorts, ports } from './config.ts'
import type { MeshState } from './state/store.ts'
import { type Service, serviceKey, type Waypoint, type Workload } from './state/types.ts'

/** Where an outbound connection goes. */
export type Route =
  /** Closed, with the words for the log. */
  | { readonly kind: 'refuse'; readonly error: string; readonly destination?: Workload; readonly service?: Service }
  /** Plain TCP to `to`; without a destination it is a passthrough. */
  | { readonly kind: 'tcp'; readonly to: Address; readonly destination?: Workload; readonly service?: Service }
  /** Plain TCP to a pod of the mesh on this node: no tunnel between, so the destination's policy is asked here. */
  | { readonly kind: 'local'; readonly to: Address; readonly destination: Workload; readonly service?: Service }
  /** CONNECT `authority` on a tunnel to `to`, whose certificate must name one of `identities`. */
  | {
      readonly kind: 'hbone'
      readonly to: Address
      readonly authority: string
      readonly identities: readonly string[]
      readonly destination: Workload
      readonly service?: Service
    }

export interface RouteRequest {
  /** The pod that the connection comes from. */
  readonly source: Workload
  /** The peer of the captured connection. */
  readonly sourceIp: string
  /** Where the application wanted to go. */
  readonly target: Address
  /** Whether the target is the listener itself: nothing was redirected. */
  readonly direct: boolean
  /** Releases with one proxy a node: the node's name, whose pods need no tunnel between them. */
  readonly localNode?: string | undefined
}

/** Whether a connection to `target` would make ztunnel call its own listeners (fact sheet: in-pod mode, 4.4 row 1). */
export function isSelfCall({ source, sourceIp, target, direct }: Omit<RouteRequest, 'source'> & { source?: Workload }): boolean {
  if (!illegalPorts.includes(target.port)) return false
  return direct || isLoopback(target.address) || target.address === sourceIp || (source?.workloadIps.includes(target.address) ?? false)
}

/** The decision order of the fact sheet (in-pod mode, 4.4, rows 3 to 9). Pure but for `random`. */
export function route(state: MeshState, request: RouteRequest, random?: () => number): Route {
  const { source, target } = request
  const service = state.serviceAt(source.network, target.address)
  if (service) {
    const waypoints = [service.waypoint ?? [], service.weightedWaypoints ?? []].flat()
    if (waypoints.length > 0 && !waypoints.some((waypoint) => isFromWaypoint(state, waypoint, request)))
      return noWaypoint(waypoints[0]!, { service })
    const choice = chooseEndpoint(state, service, target.port, source, random)
    if (choice) return toWorkload(request, choice, service)
    if (service.loadBalancer?.mode === 'Passthrough') return { kind: 'tcp', to: target, service }
    return { kind: 'refuse', error: `no healthy upstream: ${serviceKey(service)}:${target.port}`, service }
  }
  const destination = state.workloadAt(source.network, target.address)
  if (!destination) return { kind: 'tcp', to: target }
  if (destination.waypoint && !isFromWaypoint(state, destination.waypoint, request))
    return noWaypoint(destination.waypoint, { destination })
  return toWorkload(request, { workload: destination, port: target.port }, undefined)
}

function toWorkload({ source, target, localNode }: RouteRequest, { workload, port }: Choice, service: Service | undefined): Route {
  const context = { destination: workload, ...(service && { service }) }
  if (workload.network !== source.network)
    return {
      kind: 'refuse',
      error: `unknown network gateway: ${workload.uid} is in network "${workload.network}", which this ztunnel cannot reach yet`,
      ...context,
    }
  const address = service ? pickAddress(workload, target.address) : target.address
  if (!address) return { kind: 'refuse', error: `no valid destination for workload: ${workload.uid} has no address`, ...context }
  if (workload.protocol === 'TCP') return { kind: 'tcp', to: { address, port }, ...context }
  if (localNode !== undefined && workload.node === localNode) return { kind: 'local', to: { address, port }, ...context }
  return {
    kind: 'hbone',
    to: { address, port: ports.hbone },
    authority: formatAddress({ address, port }),
    identities: [formatIdentity(workload), ...(service?.subjectAltNames ?? [])],
    ...context,
  }
}

/** The workload's address of the same family as the one that was called, else its first. */
function pickAddress(workload: Workload, called: string): string | undefined {
  const v6 = called.includes(':')
  return workload.workloadIps.find((ip) => ip.includes(':') === v6) ?? workload.workloadIps[0]
}

/** The source is the waypoint itself, by address and by identity: its own traffic must not come back to it. */
function isFromWaypoint(state: MeshState, waypoint: Waypoint, { source, sourceIp }: RouteRequest): boolean {
  const at = waypoint.destination.indexOf('/')
  const [scope, name] = [waypoint.destination.slice(0, at), waypoint.destination.slice(at + 1)]
  const service = state.services.get(waypoint.destination) ?? state.serviceAt(scope, name)
  const members = service
    ? [...state.endpointsOf(serviceKey(service)).keys()].flatMap((uid) => state.workloads.get(uid) ?? [])
    : [state.workloadAt(scope, name)].flatMap((w) => w ?? [])
  return members.some((w) => w.workloadIps.includes(sourceIp) && formatIdentity(w) === formatIdentity(source))
}

function noWaypoint(waypoint: Waypoint, context: { service?: Service; destination?: Workload }): Route {
  return {
    kind: 'refuse',
    error: `unknown waypoint: ${waypoint.destination}: this ztunnel does not speak to waypoints yet, and does not go past them`,
    ...context,
  }
}
