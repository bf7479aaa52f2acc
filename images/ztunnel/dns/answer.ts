import type { MeshState } from '../state/store.ts'
import { type Service, serviceKey, type Workload } from '../state/types.ts'
import { aliases, plainName, withWildcards } from './names.ts'

/** Seconds (Istio ztunnel, src/dns/server.rs). */
export const ttl = 30

export interface KnownName {
  /** Addresses of the asked family; may be empty (the name exists, but not in this family). */
  readonly addresses: readonly string[]
  /** The name that the addresses belong to when it isn't the one that was asked: a CNAME leads there. */
  readonly canonical?: string
}

export interface Asker {
  readonly workload: Workload
  readonly domain: string
  readonly search: readonly string[]
}

/**
 * Looks a name up in the mesh: services by hostname (also wildcard ones), headless services by their healthy endpoints, workloads by hostname.
 * Undefined: not ours, ask elsewhere.
 */
export function lookUp(state: MeshState, asker: Asker, asked: string, type: 'A' | 'AAAA'): KnownName | undefined {
  const { workload, domain } = asker
  const search = [...new Set([...asker.search, `${workload.namespace}.svc.${domain}`, `svc.${domain}`, domain])]
  for (const alias of aliases(asked, workload.namespace, domain, search)) {
    for (const name of withWildcards(alias.name)) {
      const service = bestService(state, name, workload, domain)
      const found = service ? serviceAddresses(state, service, workload) : workloadAddresses(state, name)
      if (!found) continue
      const addresses = found.filter((a) => a.includes(':') === (type === 'AAAA'))
      return alias.stripped === undefined || alias.stripped === plainName(asked) ? { addresses } : { addresses, canonical: alias.stripped }
    }
  }
  return undefined
}

/** Of several services with one hostname the asker's own namespace wins; services without address count only if they are Kubernetes' headless ones. */
function bestService(state: MeshState, hostname: string, asker: Workload, domain: string): Service | undefined {
  const visible = state
    .servicesWithHost(hostname)
    .filter((s) => s.visibility === 'Public' || s.namespace === asker.namespace)
    .filter((s) => s.vips.length > 0 || s.hostname.endsWith(`.svc.${domain}`))
  return visible.find((s) => s.namespace === asker.namespace) ?? visible[0]
}

function serviceAddresses(state: MeshState, service: Service, asker: Workload): string[] {
  if (service.vips.length > 0) {
    return service.vips.filter((vip) => vip.slice(0, vip.indexOf('/')) === asker.network).map((vip) => vip.slice(vip.indexOf('/') + 1))
  }
  const addresses: string[] = []
  for (const endpoint of state.endpointsOf(serviceKey(service)).values()) {
    if (endpoint.status !== 'Healthy' && service.loadBalancer?.healthPolicy !== 'AllowAll') continue
    const workload = state.workloads.get(endpoint.workloadUid)
    if (workload && workload.network === asker.network) addresses.push(...workload.workloadIps)
  }
  return addresses
}

function workloadAddresses(state: MeshState, hostname: string): string[] | undefined {
  const addresses = state.workloadsWithHost(hostname).flatMap((w) => w.workloadIps)
  return addresses.length > 0 ? addresses : undefined
}
