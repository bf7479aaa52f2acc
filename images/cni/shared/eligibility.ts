/** Label selector of Kubernetes (meta/v1 LabelSelector). An empty one matches everything. */
export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>
  readonly matchExpressions?: readonly { readonly key: string; readonly operator: string; readonly values?: readonly string[] }[]
}

/** One way into the mesh: both selectors must match. The plugin's conf carries a list of them, of which one must. */
export interface EnablementSelector {
  readonly podSelector?: LabelSelector
  readonly namespaceSelector?: LabelSelector
}

export const dataplaneModeLabel = 'istio.io/dataplane-mode'
export const sidecarAnnotation = 'sidecar.istio.io/status'
export const redirectionAnnotation = 'ambient.istio.io/redirection'

/** Upstream's default: the pod says ambient, or its namespace does and the pod does not say none. */
export const defaultSelectors: readonly EnablementSelector[] = [
  { podSelector: { matchLabels: { [dataplaneModeLabel]: 'ambient' } }, namespaceSelector: {} },
  {
    podSelector: { matchExpressions: [{ key: dataplaneModeLabel, operator: 'NotIn', values: ['none'] }] },
    namespaceSelector: { matchLabels: { [dataplaneModeLabel]: 'ambient' } },
  },
]

/** To 1.20: no label of the pod's own counts. */
export const namespaceSelectors: readonly EnablementSelector[] = [
  { podSelector: {}, namespaceSelector: { matchLabels: { [dataplaneModeLabel]: 'ambient' } } },
]

/** What of a pod decides whether it is in the mesh. */
export interface Candidate {
  readonly namespace: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly hostNetwork: boolean
}

export interface Rules {
  readonly selectors: readonly EnablementSelector[]
  readonly excludeNamespaces: readonly string[]
  /** Where the mesh's own parts live. */
  readonly systemNamespace: string
  /** The annotation that says whether a pod is redirected keeps it out where it says `disabled` (to 1.20). */
  readonly annotationOptsOut?: boolean
}

/** Is this pod to be enrolled? `never` reasons come before any label. */
export function isEligible(pod: Candidate, namespaceLabels: Readonly<Record<string, string>>, rules: Rules): boolean {
  if (pod.hostNetwork || sidecarAnnotation in pod.annotations) return false
  if (rules.annotationOptsOut && pod.annotations[redirectionAnnotation] === 'disabled') return false
  if (rules.excludeNamespaces.includes(pod.namespace) || isZtunnel(pod, rules.systemNamespace)) return false
  return rules.selectors.some((s) => matches(s.podSelector, pod.labels) && matches(s.namespaceSelector, namespaceLabels))
}

export function isZtunnel(pod: Pick<Candidate, 'namespace' | 'labels'>, systemNamespace: string): boolean {
  return pod.namespace === systemNamespace && pod.labels.app === 'ztunnel'
}

/** @throws TypeError for an operator that Kubernetes does not have */
export function matches(selector: LabelSelector | undefined, labels: Readonly<Record<string, string>>): boolean {
  const all = Object.entries(selector?.matchLabels ?? {}).every(([key, value]) => labels[key] === value)
  return all && (selector?.matchExpressions ?? []).every((e) => holds(e.operator, labels[e.key], e.values ?? []))
}

function holds(operator: string, value: string | undefined, values: readonly string[]): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
    default:
      throw new TypeError(`label selector operator ${JSON.stringify(operator)}: expected In, NotIn, Exists or DoesNotExist`)
  }
}
