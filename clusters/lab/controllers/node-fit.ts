import type { Node, PodSpec, Toleration } from '../apiserver/types.ts'

interface Requirement {
  readonly key: string
  readonly operator: string
  readonly values?: readonly string[]
}

interface NodeAffinity {
  readonly requiredDuringSchedulingIgnoredDuringExecution?: {
    readonly nodeSelectorTerms?: readonly {
      readonly matchExpressions?: readonly Requirement[]
      readonly matchFields?: readonly Requirement[]
    }[]
  }
}

/** Whether a pod may run on a node: node selector, required node affinity, taints, cordon. @returns why not; undefined: it may */
export function misfit(spec: PodSpec, node: Node): string | undefined {
  const { labels = {}, name } = node.metadata
  if (!Object.entries(spec.nodeSelector ?? {}).every(([key, value]) => labels[key] === value))
    return "node(s) didn't match Pod's node affinity/selector"
  const terms = (spec.affinity as { nodeAffinity?: NodeAffinity } | undefined)?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
    ?.nodeSelectorTerms
  const fits = terms?.some(
    ({ matchExpressions = [], matchFields = [] }) =>
      matchExpressions.length + matchFields.length > 0 &&
      matchExpressions.every((requirement) => meets(labels[requirement.key], requirement)) &&
      matchFields.every((requirement) => requirement.key === 'metadata.name' && meets(name, requirement)),
  )
  if (fits === false) return "node(s) didn't match Pod's node affinity/selector"
  const taints = (node.spec?.taints ?? []).filter((taint) => taint.effect !== 'PreferNoSchedule')
  const cordon = node.spec?.unschedulable ? [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }] : []
  const notReady = node.status?.conditions?.some((c) => c.type === 'Ready' && c.status !== 'True')
  const health = notReady ? [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }] : []
  const refused = [...taints, ...cordon, ...health].find(
    (taint) => !(spec.tolerations ?? []).some((toleration) => tolerates(toleration, taint)),
  )
  return refused && `node(s) had untolerated taint(s) {${refused.key}}`
}

function meets(value: string | undefined, { operator, values = [] }: Requirement): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
    case 'Gt':
      return value !== undefined && Number(value) > Number(values[0])
    default:
      return value !== undefined && Number(value) < Number(values[0])
  }
}

function tolerates(toleration: Toleration, taint: { key: string; value?: string; effect: string }): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false
  if (toleration.key && toleration.key !== taint.key) return false
  return toleration.operator === 'Exists' || (toleration.key !== undefined && (toleration.value ?? '') === (taint.value ?? ''))
}

/** What the DaemonSet controller adds to its pods (k8s.io/kubernetes pkg/controller/daemon/util: AddOrUpdateDaemonPodTolerations). */
export function daemonTolerations(own: readonly Toleration[], hostNetwork: boolean): Toleration[] {
  const added = [
    ['not-ready', 'NoExecute'],
    ['unreachable', 'NoExecute'],
    ['disk-pressure', 'NoSchedule'],
    ['memory-pressure', 'NoSchedule'],
    ['pid-pressure', 'NoSchedule'],
    ['unschedulable', 'NoSchedule'],
    ...(hostNetwork ? [['network-unavailable', 'NoSchedule']] : []),
  ].map(([key, effect]): Toleration => ({ key: `node.kubernetes.io/${key}`, operator: 'Exists', effect: effect! }))
  return [...own, ...added.filter((toleration) => !own.some((t) => t.key === toleration.key && t.effect === toleration.effect))]
}
