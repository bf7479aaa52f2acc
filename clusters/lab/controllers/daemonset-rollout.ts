import type { DaemonSet, Pod } from '../apiserver/types.ts'
import { isAvailable, scaled } from './pods.ts'

/** The label that tells a pod's template from newer ones. */
export const revisionLabel = 'controller-revision-hash'

/**
 * One step of a rolling update (k8s.io/kubernetes pkg/controller/daemon/update.go). With maxSurge, a new pod starts beside the old one, which goes when the new one is
 * available; without, the old one goes first. Old pods that don't work are replaced without counting.
 * @param byNode pods on each node, those that are being deleted too
 * @returns nodes that get a new pod beside the old one, and pods to remove
 */
export function rollingUpdate(
  set: DaemonSet,
  hash: string,
  wanted: readonly string[],
  byNode: ReadonlyMap<string, readonly Pod[]>,
): { create: string[]; remove: Pod[] } {
  const { maxSurge, maxUnavailable } = set.spec.updateStrategy?.rollingUpdate ?? {}
  const surge = scaled(maxSurge, wanted.length, Math.ceil)
  const works = (pod: Pod) => isAvailable(pod, set.spec.minReadySeconds)
  const nodes = wanted.map((node) => {
    const pods = byNode.get(node) ?? []
    const current = pods.filter((pod) => !pod.metadata.deletionTimestamp)
    const isNew = (pod: Pod) => pod.metadata.labels?.[revisionLabel] === hash
    return { node, fresh: current.find(isNew), old: current.find((pod) => !isNew(pod)), ending: pods.length > current.length }
  })
  if (surge > 0) {
    const remove = nodes.flatMap(({ fresh, old }) => (fresh && old && works(fresh) ? [old] : []))
    const surging = nodes.filter(({ fresh }) => fresh && !works(fresh)).length
    const waiting = nodes.filter(({ fresh, old }) => old && !fresh)
    const broken = waiting.filter(({ old }) => !works(old!))
    const sound = waiting.filter(({ old }) => works(old!)).slice(0, Math.max(0, surge - surging))
    return { create: [...broken, ...sound].map(({ node }) => node), remove }
  }
  const down = nodes.filter(({ fresh, old, ending }) => (fresh ? !works(fresh) : !old || ending)).length
  const olds = nodes.flatMap(({ fresh, old }) => (old && !fresh ? [old] : []))
  const broken = olds.filter((pod) => !works(pod))
  const budget = Math.max(0, scaled(maxUnavailable, wanted.length, Math.ceil) - down)
  return { create: [], remove: [...broken, ...olds.filter(works).slice(0, Math.max(0, budget - broken.length))] }
}
