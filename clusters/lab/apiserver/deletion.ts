import { conflict, notFound } from './errors.ts'
import { copy, equal } from './json.ts'
import { type Resource, resources } from './resources.ts'
import { keyOf, type Storage } from './storage.ts'
import type { DeleteOptions, Ref } from './store.ts'
import type { KubeObject, Namespace, Pod } from './types.ts'
import { isReleased, timestamp } from './writes.ts'

/**
 * Deletes an object, or marks it: a pod on a node waits for its kubelet (grace period), a namespace for its contents, anything for its finalizers.
 * Foreground and Orphan propagation are finalizers that the garbage collector works off.
 */
export function deleteObject(
  storage: Storage,
  resource: Resource,
  ref: Ref,
  options: DeleteOptions,
): { object: KubeObject; gone: boolean } {
  const key = keyOf({ metadata: { name: ref.name, ...(resource.namespaced && ref.namespace && { namespace: ref.namespace }) } })
  const old = storage.get(resource, key)
  if (!old) throw notFound(resource, ref.name)
  checkPreconditions(resource, old, options)
  const draft = copy(old)
  const { metadata } = draft
  const finalizers = propagationFinalizers(metadata.finalizers ?? [], options.propagationPolicy)
  if (finalizers.length > 0) metadata.finalizers = finalizers
  else delete metadata.finalizers
  const grace = resource === resources.pods ? podGrace(old as Pod, options.gracePeriodSeconds) : 0
  if (metadata.deletionTimestamp === undefined || grace < (metadata.deletionGracePeriodSeconds ?? 0)) {
    const asked =
      metadata.deletionTimestamp === undefined
        ? Date.now()
        : Date.parse(metadata.deletionTimestamp) - 1000 * metadata.deletionGracePeriodSeconds!
    metadata.deletionTimestamp = timestamp(asked + 1000 * grace)
    metadata.deletionGracePeriodSeconds = grace
    if (metadata.generation !== undefined) metadata.generation++
  }
  if (resource === resources.namespaces) (draft as Namespace).status = { ...(draft as Namespace).status, phase: 'Terminating' }
  if (isReleased(resource, draft)) return { object: options.dryRun ? old : storage.write(resource, key, undefined), gone: true }
  if (options.dryRun || equal(draft, old)) return { object: draft, gone: false }
  return { object: storage.write(resource, key, draft), gone: false }
}

function checkPreconditions(resource: Resource, { metadata }: KubeObject, { preconditions }: DeleteOptions): void {
  const { uid, resourceVersion } = preconditions ?? {}
  const differ = (what: string, asked: string, found?: string) =>
    conflict(resource, metadata.name, `Precondition failed: ${what} in precondition: ${asked}, ${what} in object meta: ${found}`)
  if (uid && uid !== metadata.uid) throw differ('UID', uid, metadata.uid)
  if (resourceVersion && resourceVersion !== metadata.resourceVersion)
    throw differ('ResourceVersion', resourceVersion, metadata.resourceVersion)
}

/** A pod that no kubelet has, or whose containers are done, needs no grace (pod strategy's CheckGracefulDelete). */
function podGrace(pod: Pod, asked: number | undefined): number {
  if (!pod.spec.nodeName || pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded') return 0
  return Math.max(asked ?? pod.spec.terminationGracePeriodSeconds ?? 30, 0)
}

function propagationFinalizers(finalizers: readonly string[], policy: DeleteOptions['propagationPolicy']): string[] {
  if (policy === undefined) return [...finalizers]
  const others = finalizers.filter((finalizer) => finalizer !== 'foregroundDeletion' && finalizer !== 'orphan')
  if (policy === 'Background') return others
  return [...others, policy === 'Foreground' ? 'foregroundDeletion' : 'orphan']
}
