import { CoreV1Api, KubeConfig, type V1Pod } from '@kubernetes/client-node'
import type { ClusterHandle } from '../../clusters/cluster.ts'
import { serviceAccountOf } from '../../clusters/manifests/apps.ts'
import type { MeshValues } from '../../clusters/manifests/values/read.ts'
import type { Topology } from '../../clusters/topology.ts'
import type { TopologyRecord } from '../evidence/topology-record.ts'

const REDIRECTION = 'ambient.istio.io/redirection'
const DNS_CAPTURE = 'ambient.istio.io/dns-capture'

/** Who is there now: the topology's pods and services with their addresses, and the ztunnels, as the API has them. `values`: what the mesh was installed with. */
export async function resolveTopology(
  handle: ClusterHandle,
  topology: Topology,
  { dnsCapture = true }: MeshValues = {},
): Promise<TopologyRecord> {
  const config = new KubeConfig()
  config.loadFromFile(handle.kubeconfig)
  const api = config.makeApiClient(CoreV1Api)
  const namespaces = Object.keys(topology.namespaces)
  const [pods, services, proxies, resolver] = await Promise.all([
    Promise.all(namespaces.map((namespace) => api.listNamespacedPod({ namespace }))),
    Promise.all(namespaces.map((namespace) => api.listNamespacedService({ namespace }))),
    api.listNamespacedPod({ namespace: 'istio-system', labelSelector: 'app=ztunnel' }),
    api.readNamespacedService({ namespace: 'kube-system', name: 'kube-dns' }),
  ])
  const found = new Map(pods.flatMap((list) => list.items).map((pod) => [keyOf(pod), pod]))
  return {
    name: topology.name,
    ...(resolver.spec?.clusterIP ? { resolver: resolver.spec.clusterIP } : {}),
    nodes: handle.nodes.map(({ name, address }) => ({ name, address })),
    pods: topology.pods.map((wanted) => {
      const pod = found.get(`${wanted.namespace}/${wanted.name}`)
      if (!pod?.status?.podIP || !pod.metadata?.uid)
        throw new Error(`pod ${wanted.namespace}/${wanted.name} of topology ${topology.name} has no address yet`)
      return {
        name: wanted.name,
        namespace: wanted.namespace,
        node: wanted.node,
        uid: pod.metadata.uid,
        ip: pod.status.podIP,
        app: wanted.app,
        serviceAccount: serviceAccountOf(wanted),
        ...(wanted.labels['networking.istio.io/tunnel'] === 'http' ? { tunnel: true } : {}),
        enrolled: pod.metadata.annotations?.[REDIRECTION] === 'enabled',
        ...((wanted.annotations[DNS_CAPTURE] ?? String(dnsCapture)) === 'false' ? { dnsUncaptured: true } : {}),
      }
    }),
    services: topology.services.map((wanted) => {
      const service = services
        .flatMap((list) => list.items)
        .find((s) => s.metadata?.name === wanted.name && s.metadata.namespace === wanted.namespace)
      const behind = topology.pods.filter(
        (p) => p.namespace === wanted.namespace && Object.entries(wanted.selector).every(([k, v]) => p.labels[k] === v),
      )
      return {
        name: wanted.name,
        namespace: wanted.namespace,
        clusterIP: service?.spec?.clusterIP ?? 'None',
        ports: wanted.ports,
        pods: behind.map((p) => `${p.namespace}/${p.name}`),
      }
    }),
    proxies: proxies.items
      // Nodes that are not of the topology, such as a control plane, are nobody's place here.
      .filter((p) => p.metadata?.deletionTimestamp === undefined && handle.nodes.some((n) => n.name === p.spec?.nodeName))
      .map((p) => ({ name: p.metadata!.name!, namespace: 'istio-system', node: p.spec!.nodeName!, uid: p.metadata!.uid! })),
  }
}

const keyOf = (pod: V1Pod) => `${pod.metadata?.namespace}/${pod.metadata?.name}`
