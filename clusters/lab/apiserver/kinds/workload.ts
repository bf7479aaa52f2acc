import { type FieldProblem, invalidValue, required } from '../errors.ts'
import { equal } from '../json.ts'
import { validateLabels } from '../names.ts'
import { labelSelectorMatcher } from '../selectors.ts'
import type { DaemonSet, Deployment, KubeObject, ReplicaSet } from '../types.ts'
import { defaultPodSpec, validatePodSpec } from './pod-spec.ts'
import type { Strategy } from './strategy.ts'

type Workload = DaemonSet | Deployment | ReplicaSet

/** DaemonSets, Deployments and ReplicaSets: defaults as in k8s.io/kubernetes pkg/apis/apps/v1/defaults.go. */
export const workloadStrategy: Strategy<KubeObject> = {
  generation: true,
  create: (draft) => setDefaults(draft as Workload),
  update: (draft) => setDefaults(draft as Workload),
  validate: (object, old) => validate(object as Workload, old as Workload | undefined),
}

function setDefaults(draft: Workload): void {
  if (typeof draft.spec !== 'object' || draft.spec === null) return
  const spec = draft.spec as Deployment['spec'] & DaemonSet['spec']
  if (spec.template?.spec) {
    spec.template.metadata ??= {}
    defaultPodSpec(spec.template.spec)
  }
  if (draft.kind === 'DaemonSet') {
    spec.updateStrategy ??= {}
    spec.updateStrategy.type ??= 'RollingUpdate'
    if (spec.updateStrategy.type === 'RollingUpdate') {
      spec.updateStrategy.rollingUpdate ??= {}
      const rolling = spec.updateStrategy.rollingUpdate
      rolling.maxUnavailable ??= 1
      rolling.maxSurge ??= 0
    }
    spec.revisionHistoryLimit ??= 10
    return
  }
  spec.replicas ??= 1
  if (draft.kind !== 'Deployment') return
  spec.strategy ??= {}
  spec.strategy.type ??= 'RollingUpdate'
  if (spec.strategy.type === 'RollingUpdate') {
    spec.strategy.rollingUpdate ??= {}
    const rolling = spec.strategy.rollingUpdate
    rolling.maxUnavailable ??= '25%'
    rolling.maxSurge ??= '25%'
  }
  spec.revisionHistoryLimit ??= 10
  spec.progressDeadlineSeconds ??= 600
}

function validate(object: Workload, old: Workload | undefined): FieldProblem[] {
  const { spec } = object
  if (typeof spec !== 'object' || spec === null) return [required('spec')]
  const problems: FieldProblem[] = []
  const { selector, template } = spec
  const empty = !selector || (Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0)
  if (empty) problems.push(required('spec.selector'))
  const labels = template?.metadata?.labels
  problems.push(...validateLabels(labels, 'spec.template.metadata.labels'), ...validatePodSpec(template?.spec, 'spec.template.spec'))
  if (!empty && template && !labelSelectorMatcher(selector)(labels)) {
    problems.push(invalidValue('spec.template.metadata.labels', labels ?? null, '`selector` does not match template `labels`'))
  }
  const { replicas } = spec as Deployment['spec']
  if (replicas !== undefined && !(Number.isInteger(replicas) && replicas >= 0)) {
    problems.push(invalidValue('spec.replicas', replicas, 'must be greater than or equal to 0'))
  }
  if (object.kind === 'DaemonSet') problems.push(...validateSurge(object as DaemonSet))
  if (old && !equal(selector, old.spec.selector)) problems.push(invalidValue('spec.selector', selector, 'field is immutable'))
  return problems
}

function validateSurge({ spec: { updateStrategy } }: DaemonSet): FieldProblem[] {
  if (updateStrategy?.type !== 'RollingUpdate') return []
  const { maxSurge, maxUnavailable } = updateStrategy.rollingUpdate ?? {}
  const zero = (value: unknown) => value === 0 || value === '0%'
  const path = 'spec.updateStrategy.rollingUpdate'
  if (zero(maxSurge) && zero(maxUnavailable)) return [required(path, 'cannot be 0 when maxSurge is 0')]
  if (!zero(maxSurge) && !zero(maxUnavailable))
    return [invalidValue(`${path}.maxSurge`, maxSurge, 'may not be set when maxUnavailable is non-zero')]
  return []
}
