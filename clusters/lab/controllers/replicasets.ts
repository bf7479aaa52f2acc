import { resources, type Store } from '../apiserver/store.ts'
import type { Pod, ReplicaSet } from '../apiserver/types.ts'
import { availableIn, controlledBy, controllerOf, deletePod, isActive, isAvailable, isReady, podOf } from './pods.ts'
import { type Controller, keyOf, refOf, stopAll, WorkQueue } from './queue.ts'

/** Keeps as many active pods as asked for. Pods that merely match the selector are not adopted. */
export const replicaSets: Controller = ({ store, onError }) => {
  const queue = new WorkQueue((key) => {
    const set = store.find(resources.replicasets, refOf(key))
    if (!set || set.metadata.deletionTimestamp) return
    sync(store, set)
    const pods = controlledBy(store, resources.pods, set)
    const waits = pods.map((pod) => availableIn(pod, set.spec.minReadySeconds) ?? 0).filter((ms) => ms > 0)
    if (waits.length > 0) queue.addAfter(key, Math.min(...waits))
  }, onError)
  return stopAll([
    store.watch(resources.replicasets, {}, ({ object }) => queue.add(keyOf(object))),
    store.watch(resources.pods, {}, ({ object }) => {
      const owner = controllerOf(object)
      if (owner?.kind === 'ReplicaSet') queue.add(`${object.metadata.namespace}/${owner.name}`)
    }),
    () => queue.stop(),
  ])
}

function sync(store: Store, set: ReplicaSet): void {
  const { replicas = 1, template, minReadySeconds } = set.spec
  const active = controlledBy(store, resources.pods, set).filter(isActive)
  for (let missing = replicas - active.length; missing > 0; missing--) store.create(resources.pods, podOf(set, template, {}))
  for (const pod of active.sort(dispensableFirst).slice(0, Math.max(0, active.length - replicas))) deletePod(store, pod)
  const pods = controlledBy(store, resources.pods, set).filter(isActive)
  const labels = Object.entries(template.metadata?.labels ?? {})
  const status = {
    replicas: pods.length,
    fullyLabeledReplicas: pods.filter((pod) => labels.every(([key, value]) => pod.metadata.labels?.[key] === value)).length,
    readyReplicas: pods.filter(isReady).length,
    availableReplicas: pods.filter((pod) => isAvailable(pod, minReadySeconds)).length,
    observedGeneration: set.metadata.generation!,
  }
  store.patch(resources.replicasets, set.metadata, { status }, { subresource: 'status' })
}

/** Pods without a node first, then those that aren't running, aren't ready, are younger (ActivePods in pkg/controller/controller_utils.go). */
function dispensableFirst(a: Pod, b: Pod): number {
  const rank = (pod: Pod) => [
    pod.spec.nodeName ? 1 : 0,
    pod.status?.phase === 'Running' ? 1 : 0,
    isReady(pod) ? 1 : 0,
    -Date.parse(pod.metadata.creationTimestamp!),
  ]
  const [left, right] = [rank(a), rank(b)]
  const at = left.findIndex((value, index) => value !== right[index])
  return at < 0 ? 0 : left[at]! - right[at]!
}
