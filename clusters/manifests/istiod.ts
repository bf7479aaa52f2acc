import type { KubernetesObject } from '../kubernetes.ts'
import type { MeshOptions } from './mesh.ts'
import { modeParts } from './modes.ts'
import { image, istiodDeployment, meshNamespace, rootConfigMap } from './names.ts'
import { clusterRole, environment, role, serviceAccount } from './objects.ts'

const account = 'istiod'
const labels = { app: 'istiod', istio: 'pilot' }

/** The control plane: names, ports and settings of upstream's istiod chart, with the rights that it needs and no others. */
export function istiodManifests(options: MeshOptions): KubernetesObject[] {
  const { settings = {} } = options
  const { ownAnnotations } = modeParts(options)
  const follow = ['list', 'watch']
  return [
    serviceAccount(meshNamespace, account),
    ...clusterRole(`istiod-${meshNamespace}`, account, [
      // What workloads and services are made of: pods, services with their endpoints, nodes for regions and zones; namespaces for the root certificate.
      { apiGroups: [''], resources: ['pods', 'services', 'nodes', 'namespaces'], verbs: follow },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: follow },
      // Policies.
      { apiGroups: ['security.istio.io'], resources: ['authorizationpolicies', 'peerauthentications'], verbs: follow },
      // Whose token a caller carries.
      { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
      // The mesh's root certificate in every namespace. What is created has no name yet that a rule could hold.
      { apiGroups: [''], resources: ['configmaps'], verbs: ['create'] },
      { apiGroups: [''], resources: ['configmaps'], resourceNames: [rootConfigMap], verbs: [...follow, 'patch'] },
    ]),
    // The CA's key: plugged in, or its own, which it makes, and renews before it ends.
    ...role('istiod', account, [
      { apiGroups: [''], resources: ['secrets'], verbs: ['create'] },
      { apiGroups: [''], resources: ['secrets'], resourceNames: ['cacerts', 'istio-ca-secret'], verbs: ['get'] },
      { apiGroups: [''], resources: ['secrets'], resourceNames: ['istio-ca-secret'], verbs: ['update'] },
    ]),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: istiodDeployment, namespace: meshNamespace, labels },
      spec: {
        selector: labels,
        ports: [
          { name: 'https-dns', port: 15012, targetPort: 15012, protocol: 'TCP' },
          { name: 'http-monitoring', port: 15014, targetPort: 15014, protocol: 'TCP' },
        ],
      },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: istiodDeployment, namespace: meshNamespace, labels },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        template: {
          metadata: {
            labels: { ...labels, 'istio.io/dataplane-mode': 'none', 'sidecar.istio.io/inject': 'false' },
            annotations: { 'prometheus.io/port': '15014', 'prometheus.io/scrape': 'true', ...ownAnnotations },
          },
          spec: {
            serviceAccountName: account,
            terminationGracePeriodSeconds: 5,
            containers: [
              {
                name: 'discovery',
                image: image.discovery,
                imagePullPolicy: 'IfNotPresent',
                ports: [
                  { name: 'http-ready', containerPort: 8080, protocol: 'TCP' },
                  { name: 'grpc-xds', containerPort: 15012, protocol: 'TCP' },
                  { name: 'http-monitoring', containerPort: 15014, protocol: 'TCP' },
                ],
                readinessProbe: { httpGet: { path: '/ready', port: 8080 }, periodSeconds: 1 },
                securityContext: {
                  allowPrivilegeEscalation: false,
                  readOnlyRootFilesystem: true,
                  runAsNonRoot: true,
                  runAsUser: 1337,
                  runAsGroup: 1337,
                  capabilities: { drop: ['ALL'] },
                },
                env: environment({
                  POD_NAME: { field: 'metadata.name' },
                  POD_NAMESPACE: { field: 'metadata.namespace' },
                  CLUSTER_ID: settings.cluster ?? 'Kubernetes',
                  ...(settings.network ? { NETWORK: settings.network } : {}),
                  TRUST_DOMAIN: 'cluster.local',
                  CA_TRUSTED_NODE_ACCOUNTS: `${meshNamespace}/ztunnel`,
                }),
              },
            ],
          },
        },
      },
    },
  ]
}
