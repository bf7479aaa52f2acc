import type { Pod, Service, ServicePort } from '../apiserver/types.ts'
import { isEnded, isReady } from './pods.ts'

export interface EndpointPort {
  readonly name: string
  readonly protocol: string
  readonly port: number
  readonly appProtocol?: string
}

export interface Endpoint {
  readonly addresses: readonly string[]
  readonly conditions: { readonly ready: boolean; readonly serving: boolean; readonly terminating: boolean }
  readonly hostname?: string
  readonly nodeName?: string
  readonly targetRef: { readonly kind: 'Pod'; readonly namespace: string; readonly name: string; readonly uid: string }
}

/** What one EndpointSlice says. */
export interface SliceContent {
  readonly endpoints: readonly Endpoint[]
  readonly ports: readonly EndpointPort[]
}

/** Upstream's default of --max-endpoints-per-slice. */
const perSlice = 100

/**
 * What the slices of a Service must say: pods with an address that haven't ended, those that listen on the same port numbers together (named target ports may
 * differ from pod to pod). A service without such pods has one empty slice.
 */
export function sliceContents(service: Service, pods: readonly Pod[]): SliceContent[] {
  const groups = new Map<string, { endpoints: Endpoint[]; ports: EndpointPort[] }>()
  for (const pod of pods) {
    if (!pod.status?.podIP || isEnded(pod)) continue
    const ports = (service.spec.ports ?? []).flatMap((port) => resolve(port, pod))
    const key = JSON.stringify(ports)
    const group = groups.get(key) ?? { endpoints: [], ports }
    group.endpoints.push(endpoint(service, pod))
    groups.set(key, group)
  }
  if (groups.size === 0) return [{ endpoints: [], ports: [] }]
  return [...groups.values()].flatMap(({ endpoints, ports }) =>
    Array.from({ length: Math.ceil(endpoints.length / perSlice) }, (_, page) => ({
      endpoints: endpoints.slice(page * perSlice, (page + 1) * perSlice),
      ports,
    })),
  )
}

function resolve({ name = '', port, targetPort, protocol = 'TCP', appProtocol }: ServicePort, pod: Pod): EndpointPort[] {
  const target = targetPort ?? port
  const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].flatMap((container) => container.ports ?? [])
  const number =
    typeof target === 'number' ? target : all.find((p) => p.name === target && (p.protocol ?? 'TCP') === protocol)?.containerPort
  return number === undefined ? [] : [{ name, protocol, port: number, ...(appProtocol && { appProtocol }) }]
}

function endpoint(service: Service, pod: Pod): Endpoint {
  const { name, namespace = '', uid = '', deletionTimestamp } = pod.metadata
  const serving = isReady(pod)
  const terminating = deletionTimestamp !== undefined
  const { hostname, subdomain, nodeName } = pod.spec
  return {
    addresses: [pod.status!.podIP!],
    conditions: { ready: service.spec.publishNotReadyAddresses === true || (serving && !terminating), serving, terminating },
    ...(hostname && subdomain === service.metadata.name && { hostname }),
    ...(nodeName && { nodeName }),
    targetRef: { kind: 'Pod', namespace, name, uid },
  }
}

/** The subsets of the Endpoints object with the same content: ready and unready addresses apart, ending ones left out. */
export function endpointsOf(contents: readonly SliceContent[]): object[] {
  return contents
    .filter(({ endpoints }) => endpoints.some(({ conditions }) => conditions.ready || !conditions.terminating))
    .map(({ endpoints, ports }) => {
      const some = (test: (endpoint: Endpoint) => boolean) =>
        endpoints.filter(test).map(({ addresses, hostname, nodeName, targetRef }) => ({
          ip: addresses[0]!,
          ...(hostname && { hostname }),
          ...(nodeName && { nodeName }),
          targetRef,
        }))
      const addresses = some(({ conditions }) => conditions.ready)
      const notReadyAddresses = some(({ conditions }) => !conditions.ready && !conditions.terminating)
      return { ...(addresses.length > 0 && { addresses }), ...(notReadyAddresses.length > 0 && { notReadyAddresses }), ports }
    })
}
