import { createHash } from 'node:crypto'
import { safeEncode } from '../apiserver/names.ts'
import type { Resource } from '../apiserver/resources.ts'
import { type Draft, resources, type Store } from '../apiserver/store.ts'
import type { IntOrString, KubeObject, OwnerReference, Pod, PodTemplate } from '../apiserver/types.ts'

export function condition(pod: Pod, type: string) {
  return pod.status?.conditions?.find((c) => c.type === type)
}

export const isReady = (pod: Pod) => condition(pod, 'Ready')?.status === 'True'

/** Neither ended nor being deleted. */
export const isActive = (pod: Pod) => !isEnded(pod) && !pod.metadata.deletionTimestamp
export const isEnded = (pod: Pod) => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'

/** Milliseconds until the pod counts as available (ready for `minReadySeconds`); 0: it does; undefined: it isn't ready. */
export function availableIn(pod: Pod, minReadySeconds = 0, now = Date.now()): number | undefined {
  const ready = condition(pod, 'Ready')
  if (ready?.status !== 'True') return undefined
  if (minReadySeconds === 0) return 0
  return Math.max(0, Date.parse(ready.lastTransitionTime ?? '') + 1000 * minReadySeconds - now) || 0
}

export const isAvailable = (pod: Pod, minReadySeconds = 0) => availableIn(pod, minReadySeconds) === 0

export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller)
}

/** The pods (or other objects) that `owner` controls. */
export function controlledBy<T extends KubeObject>(store: Store, resource: Resource<T>, owner: KubeObject): T[] {
  const { namespace, uid } = owner.metadata
  return store.list(resource, { namespace }).filter((object) => controllerOf(object)?.uid === uid)
}

export function ownedBy({ apiVersion, kind, metadata: { name, uid } }: KubeObject): OwnerReference[] {
  return [{ apiVersion, kind, name, uid: uid!, controller: true, blockOwnerDeletion: true }]
}

/** A new pod of a template, with a generated name. @param labels added to the template's */
export function podOf(owner: KubeObject, template: PodTemplate, labels: Record<string, string>): Draft<Pod> {
  const { labels: own, annotations, finalizers } = template.metadata ?? {}
  return {
    metadata: {
      generateName: `${owner.metadata.name}-`,
      namespace: owner.metadata.namespace!,
      labels: { ...own, ...labels },
      ...(annotations && { annotations: { ...annotations } }),
      ...(finalizers && { finalizers: [...finalizers] }),
      ownerReferences: ownedBy(owner),
    },
    spec: template.spec,
  }
}

/** Ten characters that stand for a template's content, as in `controller-revision-hash` and `pod-template-hash`. */
export function templateHash(template: PodTemplate): string {
  return safeEncode(createHash('sha256').update(canonical(template)).digest('hex').slice(0, 10))
}

/** JSON with sorted keys: equal values give equal texts. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

/** A number, or a percentage of `total`. */
export function scaled(value: IntOrString | undefined, total: number, round: (n: number) => number): number {
  if (typeof value === 'string' && value.endsWith('%')) return round((Number.parseFloat(value) * total) / 100)
  return Number(value ?? 0)
}

/** Deletes a pod that is the one meant; one that is gone already is fine. */
export function deletePod(store: Store, pod: Pod, options: { gracePeriodSeconds?: number } = {}): void {
  const current = store.find(resources.pods, pod.metadata)
  if (current?.metadata.uid !== pod.metadata.uid) return
  if (current?.metadata.deletionTimestamp && options.gracePeriodSeconds !== 0) return
  store.delete(resources.pods, pod.metadata, options)
}

export const byAge = (a: KubeObject, b: KubeObject) =>
  Date.parse(a.metadata.creationTimestamp!) - Date.parse(b.metadata.creationTimestamp!) || (a.metadata.name < b.metadata.name ? -1 : 1)
