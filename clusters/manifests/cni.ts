import type { KubernetesObject } from '../kubernetes.ts'
import type { MeshOptions } from './mesh.ts'
import { modeParts } from './modes.ts'
import { cniDaemonSet, image, meshNamespace } from './names.ts'
import { clusterRole, environment, everyNode, role, serviceAccount } from './objects.ts'
import type { MeshSettings } from './values/settings.ts'

const account = 'istio-cni'

/** Volume, path on the node, path in the agent's container. */
const hostPathsOf = ({ binDir, confDir, netnsDir }: NonNullable<MeshSettings['cni']>, configDir: string | undefined) => [
  { name: 'cni-bin-dir', host: binDir ?? '/opt/cni/bin', inside: '/host/opt/cni/bin' },
  { name: 'cni-host-procfs', host: '/proc', inside: '/host/proc', type: 'Directory', extra: { readOnly: true } },
  { name: 'cni-net-dir', host: confDir ?? '/etc/cni/net.d', inside: '/host/etc/cni/net.d' },
  { name: 'cni-socket-dir', host: '/var/run/istio-cni', inside: '/var/run/istio-cni' },
  // New pods' namespaces are mounted there after the agent has started, so the mounts must come through.
  {
    name: 'cni-netns-dir',
    host: netnsDir ?? '/var/run/netns',
    inside: '/host/var/run/netns',
    type: 'DirectoryOrCreate',
    extra: { mountPropagation: 'HostToContainer' },
  },
  { name: 'cni-ztunnel-sock-dir', host: '/var/run/ztunnel', inside: '/var/run/ztunnel', type: 'DirectoryOrCreate' },
  // Its plugin reads on the node what it writes here, so both know it by one path.
  ...(configDir ? [{ name: 'cni-ambient-config', host: configDir, inside: configDir, type: 'DirectoryOrCreate' }] : []),
]

/** The node agent that installs the CNI plugin and redirects pods: names, paths, environment and rights of upstream's istio-cni chart. */
export function cniManifests(options: MeshOptions): KubernetesObject[] {
  const own = options.settings?.cni ?? {}
  const { agent, podLabelCounts, ownAnnotations } = modeParts(options)
  const configDir = agent.configDir ? (own.configDir ?? '/etc/ambient-config') : undefined
  const hostPaths = hostPathsOf(own, configDir)
  const ambient = { matchLabels: { 'istio.io/dataplane-mode': 'ambient' } }
  const notNone = { matchExpressions: [{ key: 'istio.io/dataplane-mode', operator: 'NotIn', values: ['none'] }] }
  const selectors = [{ podSelector: ambient }, { podSelector: notNone, namespaceSelector: ambient }]
  return [
    serviceAccount(meshNamespace, account),
    ...clusterRole('istio-cni', account, [
      // Which pods of the node are of the mesh. The plugin asks for the one that it is called for, with the agent's token.
      { apiGroups: [''], resources: ['pods', 'namespaces'], verbs: ['get', 'list', 'watch'] },
      // The annotation that says whether a pod is redirected.
      { apiGroups: [''], resources: ['pods/status'], verbs: ['patch'] },
      ...agent.rules,
    ]),
    // The agent asks whether its own DaemonSet still stands: restart or uninstall.
    ...role('istio-cni', account, [{ apiGroups: ['apps'], resources: ['daemonsets'], resourceNames: [cniDaemonSet], verbs: ['get'] }]),
    {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: cniDaemonSet, namespace: meshNamespace, labels: { 'k8s-app': cniDaemonSet } },
      spec: {
        selector: { matchLabels: { 'k8s-app': cniDaemonSet } },
        updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } },
        template: {
          metadata: {
            labels: { 'k8s-app': cniDaemonSet, 'istio.io/dataplane-mode': 'none', 'sidecar.istio.io/inject': 'false' },
            annotations: {
              'prometheus.io/port': '15014',
              'prometheus.io/path': '/metrics',
              'prometheus.io/scrape': 'true',
              ...ownAnnotations,
            },
          },
          spec: {
            ...everyNode,
            serviceAccountName: account,
            terminationGracePeriodSeconds: 5,
            containers: [
              {
                name: 'install-cni',
                image: image.cni,
                imagePullPolicy: 'IfNotPresent',
                ports: [{ name: 'metrics', containerPort: 15014, protocol: 'TCP' }],
                readinessProbe: { httpGet: { path: '/readyz', port: 8000 }, periodSeconds: 1 },
                securityContext: {
                  privileged: agent.privileged,
                  readOnlyRootFilesystem: true,
                  runAsUser: 0,
                  runAsGroup: 0,
                  runAsNonRoot: false,
                  // NET_ADMIN: rules, sets, routes. NET_RAW: iptables-legacy, which talks over a raw socket. SYS_PTRACE and SYS_ADMIN: to find and enter
                  // the namespaces of pods. DAC_OVERRIDE: the node's folders for CNI may be somebody else's than root's.
                  capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW', 'SYS_PTRACE', 'SYS_ADMIN', 'DAC_OVERRIDE'] },
                },
                env: environment({
                  NODE_NAME: { field: 'spec.nodeName' },
                  POD_NAME: { field: 'metadata.name' },
                  POD_NAMESPACE: { field: 'metadata.namespace' },
                  AMBIENT_ENABLED: 'true',
                  AMBIENT_REDIRECT_MODE: options.mode,
                  MESH_RELEASE: options.release,
                  ...(configDir ? { AMBIENT_CONFIG_DIR: configDir } : {}),
                  ...(podLabelCounts ? { AMBIENT_ENABLEMENT_SELECTOR: JSON.stringify(selectors) } : {}),
                  AMBIENT_DNS_CAPTURE: String(options.dnsCapture ?? true),
                  AMBIENT_IPV6: String(options.ipv6 ?? true),
                  AMBIENT_RECONCILE_POD_RULES_ON_STARTUP: 'true',
                  ENABLE_AMBIENT_DETECTION_RETRY: String(own.detectionRetry ?? false),
                  CHAINED_CNI_PLUGIN: 'true',
                  ...(own.confName ? { CNI_CONF_NAME: own.confName } : {}),
                  EXCLUDE_NAMESPACES: (own.excludeNamespaces ?? ['kube-system']).join(','),
                  REPAIR_ENABLED: 'false',
                  NATIVE_NFTABLES: 'false',
                }),
                volumeMounts: hostPaths.map((p) => ({ name: p.name, mountPath: p.inside, ...p.extra })),
              },
            ],
            volumes: hostPaths.map((p) => ({ name: p.name, hostPath: { path: p.host, ...(p.type ? { type: p.type } : {}) } })),
          },
        },
      },
    },
  ]
}
