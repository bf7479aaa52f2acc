import type { MeshState } from './state/store.ts'
import { type Endpoint, type Scope, type Service, serviceKey, type Workload } from './state/types.ts'

/** An endpoint that can take the connection, and the port it wants it on. */
export interface Choice {
  readonly workload: Workload
  readonly port: number
}

/**
 * Picks an endpoint of `service` for a connection from `source` to `servicePort`: healthy ones (or all, if the service says so), narrowed or ranked by
 * locality, then by chance weighted by capacity. Undefined: none.
 * @param random a number from 0 up to, not including, 1
 */
export function chooseEndpoint(
  state: MeshState,
  service: Service,
  servicePort: number,
  source: Workload,
  random: () => number = Math.random,
): Choice | undefined {
  const candidates: Choice[] = []
  for (const endpoint of state.endpointsOf(serviceKey(service)).values()) {
    if (endpoint.status !== 'Healthy' && service.loadBalancer?.healthPolicy !== 'AllowAll') continue
    const workload = state.workloads.get(endpoint.workloadUid)
    const port = targetPort(service, endpoint, servicePort)
    if (workload && port !== undefined && workload.capacity > 0) candidates.push({ workload, port })
  }
  const pool = byLocality(candidates, service, source)
  const total = pool.reduce((sum, c) => sum + c.workload.capacity, 0)
  let at = random() * total
  return pool.find((c) => {
    at -= c.workload.capacity
    return at < 0
  })
}

/** The endpoint's own port wins over the service's (a named port can differ from pod to pod); none or 0: the endpoint doesn't serve it. */
export function targetPort(service: Service, endpoint: Endpoint | undefined, servicePort: number): number | undefined {
  return endpoint?.port[servicePort] || service.ports[servicePort] || undefined
}

function byLocality(candidates: readonly Choice[], service: Service, source: Workload): readonly Choice[] {
  const { mode, routingPreferences: scopes } = service.loadBalancer ?? { mode: 'Standard', routingPreferences: [] }
  if (mode === 'Strict') return candidates.filter((c) => scopes.every((scope) => same(scope, c.workload, source)))
  if (mode !== 'Failover') return candidates
  const rank = (c: Choice) => {
    const miss = scopes.findIndex((scope) => !same(scope, c.workload, source))
    return miss === -1 ? scopes.length : miss
  }
  const best = Math.max(...candidates.map(rank))
  return candidates.filter((c) => rank(c) === best)
}

function same(scope: Scope, a: Workload, b: Workload): boolean {
  switch (scope) {
    case 'Region':
      return a.locality?.region === b.locality?.region
    case 'Zone':
      return a.locality?.zone === b.locality?.zone
    case 'Subzone':
      return a.locality?.subzone === b.locality?.subzone
    case 'Node':
      return a.node === b.node
    case 'Cluster':
      return a.clusterId === b.clusterId
    case 'Network':
      return a.network === b.network
  }
}
