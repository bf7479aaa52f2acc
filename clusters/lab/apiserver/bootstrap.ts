import ipaddr from 'ipaddr.js'
import { resources, type Store, type StoreOptions } from './store.ts'

interface Advertise {
  readonly advertise?: { readonly address: string; readonly port: number }
}

/**
 * What every cluster has from its first moment: the system namespaces and the Service `kubernetes` with its endpoint (which no selector makes).
 * @returns the ClusterIP of that Service: the first address of the CIDR
 */
export function bootstrap(store: Store, { serviceCidr = '10.96.0.0/16', advertise }: StoreOptions & Advertise): string {
  for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease'])
    store.create(resources.namespaces, { metadata: { name } })
  const [base] = ipaddr.IPv4.parseCIDR(serviceCidr)
  const first = base.toByteArray()
  first[3]! += 1
  const clusterIP = first.join('.')
  if (!advertise) return clusterIP
  const labels = { component: 'apiserver', provider: 'kubernetes' }
  const metadata = { name: 'kubernetes', namespace: 'default' }
  const ports = [{ name: 'https', port: 443, protocol: 'TCP', targetPort: advertise.port }]
  store.create(resources.services, { metadata: { ...metadata, labels }, spec: { clusterIP, ports } })
  const slicePorts = [{ name: 'https', port: advertise.port, protocol: 'TCP' }]
  store.create(resources.endpoints, {
    metadata: { ...metadata, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
    subsets: [{ addresses: [{ ip: advertise.address }], ports: slicePorts }],
  })
  store.create(resources.endpointslices, {
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [advertise.address], conditions: { ready: true } }],
    ports: slicePorts,
  })
  return clusterIP
}
