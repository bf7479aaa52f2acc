import type { KubernetesObject } from '../kubernetes.ts'
import { meshNamespace } from './names.ts'

/** Small builders: each returns a plain object, so that a manifest reads like its YAML. */

export function namespace(name: string, labels: Record<string, string> = {}): KubernetesObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { ...labels } } }
}

export function serviceAccount(namespace: string, name: string): KubernetesObject {
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } }
}

export interface Rule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly resourceNames?: readonly string[]
  readonly verbs: readonly string[]
}

/** A ClusterRole and its binding to a service account of the mesh's namespace. */
export function clusterRole(name: string, account: string, rules: readonly Rule[]): KubernetesObject[] {
  const api = 'rbac.authorization.k8s.io'
  return [
    { apiVersion: `${api}/v1`, kind: 'ClusterRole', metadata: { name }, rules },
    {
      apiVersion: `${api}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name },
      roleRef: { apiGroup: api, kind: 'ClusterRole', name },
      subjects: [{ kind: 'ServiceAccount', name: account, namespace: meshNamespace }],
    },
  ]
}

/** A Role in the mesh's namespace and its binding to a service account there. */
export function role(name: string, account: string, rules: readonly Rule[]): KubernetesObject[] {
  const api = 'rbac.authorization.k8s.io'
  const metadata = { name, namespace: meshNamespace }
  return [
    { apiVersion: `${api}/v1`, kind: 'Role', metadata, rules },
    {
      apiVersion: `${api}/v1`,
      kind: 'RoleBinding',
      metadata: { ...metadata },
      roleRef: { apiGroup: api, kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name: account, namespace: meshNamespace }],
    },
  ]
}

/** Environment from constants and from the downward API (`{ field: 'spec.nodeName' }`). */
export function environment(variables: Readonly<Record<string, string | { readonly field: string }>>): object[] {
  return Object.entries(variables).map(([name, value]) =>
    typeof value === 'string' ? { name, value } : { name, valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: value.field } } },
  )
}

/** What lets a node's own agents run on every node, whatever its taints (Istio's charts for istio-cni and ztunnel). */
export const everyNode = {
  nodeSelector: { 'kubernetes.io/os': 'linux' },
  priorityClassName: 'system-node-critical',
  tolerations: [
    { effect: 'NoSchedule', operator: 'Exists' },
    { key: 'CriticalAddonsOnly', operator: 'Exists' },
    { effect: 'NoExecute', operator: 'Exists' },
  ],
}
