import type { KubernetesObject } from '../kubernetes.ts'
import type { MeshOptions } from './mesh.ts'
import { modeParts } from './modes.ts'
import { image, istiodAddress, meshNamespace, rootConfigMap, ztunnelDaemonSet } from './names.ts'
import { environment, everyNode, serviceAccount } from './objects.ts'

const account = 'ztunnel'
const usualGraceSeconds = 30

/** The node's L4 proxy: names, environment, rights and roll-out of upstream's ztunnel chart. */
export function ztunnelManifests(options: MeshOptions): KubernetesObject[] {
  const { settings = {} } = options
  const { ztunnel, ownAnnotations } = modeParts(options)
  const graceSeconds = settings.ztunnel?.graceSeconds ?? usualGraceSeconds
  return [
    serviceAccount(meshNamespace, account),
    {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: ztunnelDaemonSet, namespace: meshNamespace, labels: { app: 'ztunnel' } },
      spec: {
        selector: { matchLabels: { app: 'ztunnel' } },
        // The new one takes over the pods' ports before the old one lets go of them.
        updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        template: {
          metadata: {
            labels: { app: 'ztunnel', 'istio.io/dataplane-mode': 'none', 'sidecar.istio.io/inject': 'false' },
            annotations: { 'prometheus.io/port': '15020', 'prometheus.io/scrape': 'true', ...ownAnnotations },
          },
          spec: {
            ...everyNode,
            serviceAccountName: account,
            // It asks the control plane, with a token of its own audience; of the API server it asks nothing.
            automountServiceAccountToken: false,
            terminationGracePeriodSeconds: graceSeconds,
            containers: [
              {
                name: 'istio-proxy',
                image: image.ztunnel,
                imagePullPolicy: 'IfNotPresent',
                ports: [{ name: 'ztunnel-stats', containerPort: 15020, protocol: 'TCP' }],
                readinessProbe: { httpGet: { path: '/healthz/ready', port: 15021 }, periodSeconds: 1 },
                securityContext: {
                  allowPrivilegeEscalation: true,
                  privileged: false,
                  readOnlyRootFilesystem: true,
                  runAsUser: 0,
                  runAsGroup: 1337,
                  runAsNonRoot: false,
                  // SYS_ADMIN: sockets in the pods' network namespaces. NET_ADMIN: their mark, and addresses that are not their own, for which upstream has NET_RAW too.
                  capabilities: { drop: ['ALL'], add: ['NET_ADMIN', ...(ztunnel.inPods ? ['SYS_ADMIN'] : [])] },
                },
                env: environment({
                  POD_NAME: { field: 'metadata.name' },
                  POD_NAMESPACE: { field: 'metadata.namespace' },
                  NODE_NAME: { field: 'spec.nodeName' },
                  INSTANCE_IP: { field: 'status.podIP' },
                  SERVICE_ACCOUNT: { field: 'spec.serviceAccountName' },
                  ...(ztunnel.inPods ? { INPOD_ENABLED: 'true', INPOD_UDS: '/var/run/ztunnel/ztunnel.sock' } : {}),
                  MESH_RELEASE: options.release,
                  // Questions for names leave no other trace of what ztunnel made of them.
                  RUST_LOG: 'info,dns=debug',
                  ISTIO_META_CLUSTER_ID: settings.cluster ?? 'Kubernetes',
                  ...(settings.network ? { NETWORK: settings.network } : {}),
                  // Where a pod's annotation can ask for capture, whatever the agent's default: its questions must find a listener.
                  ISTIO_META_DNS_CAPTURE: String(!ztunnel.tellsDnsCapture || (options.dnsCapture ?? true)),
                  IPV6_ENABLED: String(options.ipv6 ?? true),
                  TERMINATION_GRACE_PERIOD_SECONDS: String(graceSeconds),
                  XDS_ADDRESS: istiodAddress,
                  CA_ADDRESS: istiodAddress,
                  XDS_ROOT_CA: '/var/run/secrets/istio/root-cert.pem',
                  CA_ROOT_CA: '/var/run/secrets/istio/root-cert.pem',
                }),
                volumeMounts: [
                  ...(ztunnel.inPods ? [{ name: 'cni-ztunnel-sock-dir', mountPath: '/var/run/ztunnel' }] : []),
                  { name: 'istiod-ca-cert', mountPath: '/var/run/secrets/istio' },
                  { name: 'istio-token', mountPath: '/var/run/secrets/tokens' },
                  { name: 'tmp', mountPath: '/tmp' },
                ],
              },
            ],
            volumes: [
              ...(ztunnel.inPods
                ? [{ name: 'cni-ztunnel-sock-dir', hostPath: { path: '/var/run/ztunnel', type: 'DirectoryOrCreate' } }]
                : []),
              { name: 'istiod-ca-cert', configMap: { name: rootConfigMap } },
              {
                name: 'istio-token',
                projected: { sources: [{ serviceAccountToken: { path: 'istio-token', audience: 'istio-ca', expirationSeconds: 43200 } }] },
              },
              { name: 'tmp', emptyDir: {} },
            ],
          },
        },
      },
    },
  ]
}
