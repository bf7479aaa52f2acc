import { allResources, type Resource } from '../apiserver/resources.ts'
import type { Ref, Store } from '../apiserver/store.ts'
import type { KubeObject, OwnerReference } from '../apiserver/types.ts'
import { type Controller, stopAll, WorkQueue } from './queue.ts'

interface Known {
  readonly resource: Resource
  readonly ref: Ref
  readonly owners: readonly string[]
}

/**
 * Deletes what has lost all its owners, and works off the finalizers of owners that are deleted in the foreground (dependents first) or that orphan their dependents.
 * Keys of the queue are uids.
 */
export const garbage: Controller = ({ store, onError }) => {
  const known = new Map<string, Known>()
  const dependents = new Map<string, Set<string>>()
  const queue = new WorkQueue((uid) => sync(uid), onError)

  const learn = (resource: Resource, { metadata }: KubeObject) => {
    const uid = metadata.uid!
    forget(uid)
    const owners = (metadata.ownerReferences ?? []).map((owner) => owner.uid)
    known.set(uid, { resource, ref: { name: metadata.name, ...(metadata.namespace && { namespace: metadata.namespace }) }, owners })
    for (const owner of owners) dependents.set(owner, (dependents.get(owner) ?? new Set()).add(uid))
    if (owners.length > 0 || metadata.deletionTimestamp) queue.add(uid)
  }
  const forget = (uid: string) => {
    for (const owner of known.get(uid)?.owners ?? []) {
      const left = dependents.get(owner)
      left?.delete(uid)
      if (left?.size === 0) dependents.delete(owner)
    }
    known.delete(uid)
  }
  const gone = (uid: string) => {
    const owners = known.get(uid)?.owners ?? []
    forget(uid)
    for (const dependent of dependents.get(uid) ?? []) queue.add(dependent)
    for (const owner of owners) if (known.has(owner)) queue.add(owner)
  }
  const current = (uid: string): KubeObject | undefined => {
    const entry = known.get(uid)
    const object = entry && store.find(entry.resource, entry.ref)
    return object?.metadata.uid === uid ? object : undefined
  }
  const dependentsOf = (uid: string) => [...(dependents.get(uid) ?? [])].flatMap((other) => current(other) ?? [])

  const sync = (uid: string): void => {
    const object = current(uid)
    if (!object) return
    const { resource } = known.get(uid)!
    const { finalizers = [], deletionTimestamp, ownerReferences = [] } = object.metadata
    if (deletionTimestamp) {
      if (finalizers.includes('orphan')) orphan(object, dependentsOf(uid))
      else if (finalizers.includes('foregroundDeletion')) foreground(object, dependentsOf(uid))
      return
    }
    const absent = ownerReferences.filter((owner) => isServed(owner) && current(owner.uid) === undefined)
    if (absent.length === 0) return
    if (absent.length === ownerReferences.length)
      store.delete(resource, object.metadata, { preconditions: { uid }, propagationPolicy: 'Background' })
    else setOwners(object, (owner) => !absent.includes(owner))
  }
  const orphan = (owner: KubeObject, objects: readonly KubeObject[]) => {
    for (const object of objects) setOwners(object, ({ uid }) => uid !== owner.metadata.uid)
    release(owner, 'orphan')
  }
  const foreground = (owner: KubeObject, objects: readonly KubeObject[]) => {
    for (const object of objects.filter((o) => !o.metadata.deletionTimestamp)) {
      const others = (object.metadata.ownerReferences ?? []).some(({ uid }) => uid !== owner.metadata.uid && current(uid))
      if (others) setOwners(object, ({ uid }) => uid !== owner.metadata.uid)
      else store.delete(resourceOf(object), object.metadata, { propagationPolicy: 'Foreground' })
    }
    if (!dependentsOf(owner.metadata.uid!).some((object) => blocks(object, owner))) release(owner, 'foregroundDeletion')
  }
  const resourceOf = (object: KubeObject) => known.get(object.metadata.uid!)!.resource
  const setOwners = (object: KubeObject, keep: (owner: OwnerReference) => boolean) => {
    const ownerReferences = (object.metadata.ownerReferences ?? []).filter(keep)
    store.patch(resourceOf(object), object.metadata, { metadata: { ownerReferences: ownerReferences.length > 0 ? ownerReferences : null } })
  }
  const release = (owner: KubeObject, finalizer: string) => {
    const finalizers = (owner.metadata.finalizers ?? []).filter((other) => other !== finalizer)
    store.patch(resourceOf(owner), owner.metadata, { metadata: { finalizers: finalizers.length > 0 ? finalizers : null } })
  }

  const stops = allResources.map((resource) => follow(store, resource, learn, gone))
  return stopAll([...stops, () => queue.stop()])
}

/** Of kinds that are not served nobody can say that an object of theirs is gone. */
function isServed({ apiVersion, kind }: OwnerReference): boolean {
  const group = apiVersion.includes('/') ? apiVersion.split('/')[0] : ''
  return allResources.some((resource) => resource.kind === kind && resource.group === group)
}

function follow(store: Store, resource: Resource, learn: (resource: Resource, object: KubeObject) => void, gone: (uid: string) => void) {
  return store.watch(resource, {}, ({ type, object }) => (type === 'DELETED' ? gone(object.metadata.uid!) : learn(resource, object)))
}

function blocks(object: KubeObject, owner: KubeObject): boolean {
  return object.metadata.ownerReferences?.some(({ uid, blockOwnerDeletion }) => uid === owner.metadata.uid && blockOwnerDeletion) === true
}
