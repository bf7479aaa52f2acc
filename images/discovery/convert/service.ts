import type { ServiceInit } from '../../lib/xds/messages.ts'
import type { Pod, Service, ServicePort } from '../kubernetes/objects.ts'
import { addressBytes } from './address.ts'
import type { MeshSettings } from './settings.ts'

/** `<namespace>/<hostname>`: what resources call a service. */
export function serviceKey(namespace: string, name: string, { domain }: MeshSettings): string {
  return `${namespace}/${name}.${namespace}.svc.${domain}`
}

/** A name outside of the cluster has no address to redirect. */
export function isServed(service: Service): boolean {
  return service.spec.type !== 'ExternalName'
}

/** As ztunnel sees a Service; no addresses if it is headless. */
export function convertService(service: Service, settings: MeshSettings): ServiceInit {
  const { name, namespace = '' } = service.metadata
  const loadBalancing = loadBalancingOf(service)
  return {
    name,
    namespace,
    hostname: `${name}.${namespace}.svc.${settings.domain}`,
    addresses: clusterAddresses(service).map((address) => ({ network: settings.network, address })),
    // 0: each pod's own, by name.
    ports: distinctPorts(service).map((p) => ({
      servicePort: p.port,
      targetPort: typeof p.targetPort === 'string' ? 0 : (p.targetPort ?? p.port),
      appProtocol: appProtocol(p),
    })),
    ipFamilies: ipFamilies(service),
    canonical: true,
    ...(loadBalancing ? { loadBalancing } : {}),
  }
}

export function clusterAddresses({ spec }: Service): Uint8Array[] {
  const all = spec.clusterIPs?.length ? spec.clusterIPs : [spec.clusterIP ?? '']
  return all.flatMap((ip) => addressBytes(ip) ?? [])
}

/** One of each number: of a TCP and a UDP port with the same number it is TCP's that the mesh carries. */
export function distinctPorts({ spec }: Service): ServicePort[] {
  const isTcp = (p: ServicePort) => (p.protocol ?? 'TCP') === 'TCP'
  const ports = new Map<number, ServicePort>()
  for (const port of spec.ports ?? []) if (!ports.has(port.port) || isTcp(port)) ports.set(port.port, port)
  return [...ports.values()]
}

/** The pod's ports behind a service's, without named ports that the pod does not have. */
export function portsOf(service: Service, pod: Pod): { servicePort: number; targetPort: number }[] {
  return distinctPorts(service).flatMap(({ port, targetPort }) => {
    if (typeof targetPort !== 'string') return [{ servicePort: port, targetPort: targetPort ?? port }]
    const named = pod.spec.containers.flatMap((c) => c.ports ?? []).find((p) => p.name === targetPort)
    return named ? [{ servicePort: port, targetPort: named.containerPort }] : []
  })
}

/** As Istio tells it since 1.24: automatic where Kubernetes says nothing. */
function ipFamilies({ spec }: Service): NonNullable<ServiceInit['ipFamilies']> {
  const families = spec.ipFamilies ?? []
  if (families.length > 1) return 'DUAL'
  return families[0] === 'IPv4' ? 'IPV4_ONLY' : families[0] === 'IPv6' ? 'IPV6_ONLY' : 'AUTOMATIC'
}

type Init = NonNullable<ServiceInit['ports']>[number]

/** Only where it is declared: by the field, or by the name's prefix, as Istio reads both. */
function appProtocol({ name = '', appProtocol: declared }: ServicePort): NonNullable<Init['appProtocol']> {
  const known = {
    http: 'HTTP11',
    http2: 'HTTP2',
    'kubernetes.io/h2c': 'HTTP2',
    grpc: 'GRPC',
    tcp: 'TCP',
    tls: 'TLS',
    https: 'TLS',
  } as const satisfies Record<string, Init['appProtocol']>
  const word = declared?.toLowerCase() ?? name.split('-', 1)[0] ?? ''
  return Object.hasOwn(known, word) ? known[word as keyof typeof known] : 'UNKNOWN'
}

type LoadBalancing = NonNullable<ServiceInit['loadBalancing']>

/** Where traffic should stay, by the fields of the Service (Istio's constructService). */
function loadBalancingOf({ spec }: Service): LoadBalancing | undefined {
  const healthPolicy = spec.publishNotReadyAddresses ? ({ healthPolicy: 'ALLOW_ALL' } as const) : undefined
  if (spec.internalTrafficPolicy === 'Local') return { routingPreference: ['NODE'], mode: 'STRICT', ...healthPolicy }
  const near = { PreferClose: 'zone', PreferSameZone: 'zone', PreferSameNode: 'node' }[spec.trafficDistribution ?? '']
  if (near === 'zone') return { routingPreference: ['NETWORK', 'REGION', 'ZONE'], mode: 'FAILOVER', ...healthPolicy }
  if (near === 'node') {
    return { routingPreference: ['NETWORK', 'REGION', 'ZONE', 'SUBZONE', 'NODE'], mode: 'FAILOVER', ...healthPolicy }
  }
  return healthPolicy
}
