import type { Endpoint, EndpointSlice, KubernetesObject, Service } from '../../kubernetes.ts'
import { endpointsOf } from '../kube-proxy/rules.ts'

export const clusterDomain = 'cluster.local'
/** Seconds that answers may be kept, as in kubeadm's Corefile. */
export const ttl = 30

export interface SrvTarget {
  readonly target: string
  readonly port: number
}

/** What a name has; a name that is there with no record of the asked type is answered with no data, any other with NXDOMAIN. */
export interface Entry {
  readonly a: string[]
  readonly srv: SrvTarget[]
  readonly ptr: string[]
}

/** Lower-case names without the last dot. */
export type Zone = ReadonlyMap<string, Entry>

/** All names of the cluster, by the Kubernetes DNS specification 1.1.0: ClusterIP and headless services, their pods, ports (SRV), and addresses (PTR). */
export function buildZone(services: readonly Service[], slices: readonly EndpointSlice[], namespaces: readonly KubernetesObject[]): Zone {
  const zone = new Map<string, Entry>()
  const at = (name: string): Entry => {
    let entry = zone.get(name)
    if (!entry) {
      entry = { a: [], srv: [], ptr: [] }
      zone.set(name, entry)
      // The names between it and the zone's top are there too.
      const parent = name.slice(name.indexOf('.') + 1)
      if (parent !== clusterDomain && parent.endsWith(`.${clusterDomain}`)) at(parent)
    }
    return entry
  }
  for (const { metadata } of namespaces) {
    at(`${metadata.name}.svc.${clusterDomain}`)
    at(`${metadata.name}.pod.${clusterDomain}`)
  }
  for (const service of services) {
    const { name, namespace } = service.metadata
    const { clusterIP, ports = [] } = service.spec
    const host = `${name}.${namespace}.svc.${clusterDomain}`
    const endpoints = namesOf(service, slices)
    if (clusterIP && clusterIP !== 'None') {
      at(host).a.push(clusterIP)
      at(reverseName(clusterIP)).ptr.push(host)
      for (const port of ports) at(srvName(host, port.name, port.protocol)).srv.push({ target: host, port: port.port })
      continue
    }
    if (clusterIP !== 'None') continue
    at(host)
    for (const { label, address } of endpoints) {
      at(host).a.push(address)
      at(`${label}.${host}`).a.push(address)
      const reverse = at(reverseName(address))
      if (!reverse.ptr.includes(`${label}.${host}`)) reverse.ptr.push(`${label}.${host}`)
    }
    for (const port of ports) {
      if (!port.name) continue
      const targets = endpointsOf(service, slices, port.name)
      for (const { address, port: target } of targets) {
        const label = endpoints.find((e) => e.address === address)?.label ?? dashed(address)
        at(srvName(host, port.name, port.protocol)).srv.push({ target: `${label}.${host}`, port: target })
      }
    }
  }
  return zone
}

/** Ready endpoints of a service (all, if it publishes those that are not), each address once. */
function namesOf(service: Service, slices: readonly EndpointSlice[]): { label: string; address: string }[] {
  const found = new Map<string, string>()
  const usable = (e: Endpoint) => e.conditions?.ready !== false || service.spec.publishNotReadyAddresses
  for (const slice of slices) {
    if (slice.metadata.namespace !== service.metadata.namespace || slice.addressType !== 'IPv4') continue
    if (slice.metadata.labels?.['kubernetes.io/service-name'] !== service.metadata.name) continue
    for (const endpoint of (slice.endpoints ?? []).filter(usable))
      for (const address of endpoint.addresses) found.set(address, endpoint.hostname ?? dashed(address))
  }
  return [...found].map(([address, label]) => ({ address, label }))
}

function srvName(host: string, port: string | undefined, protocol = 'TCP'): string {
  return port ? `_${port}._${protocol.toLowerCase()}.${host}` : host
}

export function reverseName(address: string): string {
  return `${address.split('.').reverse().join('.')}.in-addr.arpa`
}

function dashed(address: string): string {
  return address.replaceAll('.', '-')
}
