import { type FieldProblem, forbidden } from '../errors.ts'
import { copy, equal } from '../json.ts'
import { randomSuffix } from '../names.ts'
import { resources } from '../resources.ts'
import type { Pod, Toleration } from '../types.ts'
import { defaultPodSpec, list, validatePodSpec } from './pod-spec.ts'
import type { ClusterView, Strategy } from './strategy.ts'

export const podStrategy: Strategy<Pod> = {
  generation: true,
  metadataWithStatus: true,
  create(draft, cluster) {
    if (typeof draft.spec !== 'object' || draft.spec === null) return
    const { spec } = draft
    spec.serviceAccountName ||= 'default'
    defaultPodSpec(spec)
    spec.enableServiceLinks ??= true
    spec.preemptionPolicy ??= 'PreemptLowerPriority'
    spec.priority ??= 0
    spec.tolerations = withTolerations(list(spec.tolerations))
    admitServiceAccount(draft, cluster)
    draft.status = { phase: 'Pending', qosClass: qosClass(draft) }
  },
  update(draft) {
    if (draft.spec) defaultPodSpec(draft.spec)
  },
  validate(pod, old) {
    return [...validatePodSpec(pod.spec, 'spec'), ...(old && pod.spec ? validateUpdate(pod, old) : [])]
  },
}

/** Of a pod's spec only images, the deadline and new tolerations may change (and the node name once, by binding). */
function validateUpdate(pod: Pod, old: Pod): FieldProblem[] {
  const mutable = copy(pod.spec)
  for (const kind of ['containers', 'initContainers'] as const) {
    const before = old.spec[kind] ?? []
    for (const [index, container] of (mutable[kind] ?? []).entries()) if (before[index]) container.image = before[index].image
  }
  if (old.spec.activeDeadlineSeconds !== undefined || mutable.activeDeadlineSeconds !== undefined) {
    mutable.activeDeadlineSeconds = old.spec.activeDeadlineSeconds
  }
  if (!old.spec.nodeName) delete mutable.nodeName
  const kept = list(old.spec.tolerations).every((toleration) => list(mutable.tolerations).some((own) => equal(own, toleration)))
  if (kept && old.spec.tolerations) mutable.tolerations = copy(old.spec.tolerations)
  if (equal(copy(mutable), old.spec)) return []
  const detail =
    'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)'
  return [{ field: 'spec', reason: 'FieldValueForbidden', message: `Forbidden: ${detail}` }]
}

/** Admission plugin DefaultTolerationSeconds. */
function withTolerations(tolerations: Toleration[]): Toleration[] {
  const missing = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'].filter(
    (key) => !tolerations.some((t) => (t.key === key || !t.key) && (!t.effect || t.effect === 'NoExecute')),
  )
  return [...tolerations, ...missing.map((key) => ({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 }))]
}

/** Admission plugin ServiceAccount: the account must exist, and its credentials are mounted where clients look for them. */
function admitServiceAccount(pod: Pod, cluster: ClusterView): void {
  const { spec } = pod
  const { namespace = '' } = pod.metadata
  const account = cluster.find(resources.serviceaccounts, { namespace, name: spec.serviceAccountName! })
  if (!account) {
    const why = `error looking up service account ${namespace}/${spec.serviceAccountName}: serviceaccount "${spec.serviceAccountName}" not found`
    throw forbidden(resources.pods, pod.metadata.name, why)
  }
  if ((spec.automountServiceAccountToken ?? account.automountServiceAccountToken) === false) return
  const mountPath = '/var/run/secrets/kubernetes.io/serviceaccount'
  const containers = [...list(spec.initContainers), ...list(spec.containers)].filter(
    (c) => !list(c.volumeMounts).some((m) => m.mountPath === mountPath),
  )
  const existing = list(spec.volumes).find((volume) => volume.name?.startsWith('kube-api-access-'))
  const name = existing?.name ?? `kube-api-access-${randomSuffix()}`
  for (const container of containers) container.volumeMounts = [...list(container.volumeMounts), { name, readOnly: true, mountPath }]
  if (existing || containers.length === 0) return
  const sources = [
    { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
    { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
    { downwardAPI: { items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }] } },
  ]
  spec.volumes = [...list(spec.volumes), { name, projected: { defaultMode: 0o644, sources } }]
}

function qosClass(pod: Pod): string {
  const resourcesOf = [...list(pod.spec.containers), ...list(pod.spec.initContainers)].map(
    (c) => c.resources as Record<string, Record<string, string>>,
  )
  if (resourcesOf.every((r) => Object.keys(r.limits ?? {}).length + Object.keys(r.requests ?? {}).length === 0)) return 'BestEffort'
  const guaranteed = resourcesOf.every((r) =>
    ['cpu', 'memory'].every((n) => r.limits?.[n] && (r.requests?.[n] ?? r.limits[n]) === r.limits[n]),
  )
  return guaranteed ? 'Guaranteed' : 'Burstable'
}
