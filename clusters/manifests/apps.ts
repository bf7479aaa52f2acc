import { http2Port, httpPort, tcpPort, udpPort } from '../../images/lib/app-protocol.ts'
import type { KubernetesObject } from '../kubernetes.ts'
import type { Topology, TopologyPod, TopologyService } from '../topology.ts'
import { image } from './names.ts'
import { namespace, serviceAccount } from './objects.ts'

/** The service account that a pod runs as: its own, if the topology names none. */
export function serviceAccountOf(pod: TopologyPod): string {
  return pod.serviceAccount ?? pod.name
}

/** The topology's namespaces, service accounts, services and pods, in the order in which they can be applied. */
export function appManifests(topology: Topology): KubernetesObject[] {
  const accounts = new Map(topology.pods.map((pod) => [`${pod.namespace}/${serviceAccountOf(pod)}`, pod]))
  return [
    ...Object.entries(topology.namespaces).map(([name, { labels }]) => namespace(name, labels)),
    ...[...accounts.values()].map((pod) => serviceAccount(pod.namespace, serviceAccountOf(pod))),
    ...topology.services.map(service),
    ...topology.pods.map(pod),
  ]
}

function service(from: TopologyService): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: from.name, namespace: from.namespace },
    spec: {
      ...(from.clusterIP ? { clusterIP: from.clusterIP } : {}),
      selector: { ...from.selector },
      ports: from.ports.map((port) => ({ ...port, protocol: 'TCP' })),
    },
  }
}

function pod(from: TopologyPod): KubernetesObject {
  const server = {
    ports: [
      { name: 'http', containerPort: httpPort, protocol: 'TCP' },
      { name: 'http2', containerPort: http2Port, protocol: 'TCP' },
      { name: 'tcp', containerPort: tcpPort, protocol: 'TCP' },
      { name: 'udp', containerPort: udpPort, protocol: 'UDP' },
    ],
    readinessProbe: { httpGet: { path: '/healthz', port: httpPort }, periodSeconds: 1 },
  }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: from.name, namespace: from.namespace, labels: { ...from.labels }, annotations: { ...from.annotations } },
    spec: {
      // Pinned: a case names the nodes it runs between.
      nodeName: from.node,
      serviceAccountName: serviceAccountOf(from),
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: from.app,
          image: image[from.app],
          imagePullPolicy: 'IfNotPresent',
          ...(from.app === 'httpbin' ? server : {}),
          securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
          // The socket through which the harness tells the app what to do: no network, so no token on it.
          volumeMounts: [{ name: 'control', mountPath: '/var/run/everyhop' }],
        },
      ],
      volumes: [{ name: 'control', emptyDir: {} }],
    },
  }
}
