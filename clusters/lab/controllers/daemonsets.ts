import { resources, type Store } from '../apiserver/store.ts'
import type { DaemonSet, Pod } from '../apiserver/types.ts'
import { Backoff } from './backoff.ts'
import { revisionLabel, rollingUpdate } from './daemonset-rollout.ts'
import { daemonTolerations, misfit } from './node-fit.ts'
import { availableIn, byAge, controlledBy, controllerOf, deletePod, isAvailable, isReady, podOf, templateHash } from './pods.ts'
import { type Controller, keyOf, refOf, stopAll, WorkQueue } from './queue.ts'

/** One pod of each DaemonSet on every node that fits it; changed templates roll out as the update strategy says. */
export const daemonSets: Controller = ({ store, onError }) => {
  // As upstream: 1 s to 15 min.
  const failures = new Backoff(1000, 15 * 60_000)
  const queue = new WorkQueue((key) => {
    const set = store.find(resources.daemonsets, refOf(key))
    if (!set || set.metadata.deletionTimestamp) return
    const wait = sync(store, set, failures)
    if (wait !== undefined) queue.addAfter(key, wait)
  }, onError)
  const all = () => {
    for (const set of store.list(resources.daemonsets)) queue.add(keyOf(set))
  }
  return stopAll([
    store.watch(resources.daemonsets, {}, ({ object }) => queue.add(keyOf(object))),
    store.watch(resources.nodes, {}, all),
    store.watch(resources.pods, {}, ({ object }) => {
      const owner = controllerOf(object)
      if (owner?.kind === 'DaemonSet') queue.add(`${object.metadata.namespace}/${owner.name}`)
    }),
    () => queue.stop(),
  ])
}

/** @returns milliseconds after which there is something to do by time alone: a pod has been ready long enough, a failed one may be replaced */
function sync(store: Store, set: DaemonSet, failures: Backoff): number | undefined {
  const hash = templateHash(set.spec.template)
  const nodes = store.list(resources.nodes)
  const names = new Set(nodes.map((node) => node.metadata.name))
  const byNode = new Map<string, Pod[]>()
  const waits: number[] = []
  for (const pod of controlledBy(store, resources.pods, set)) {
    const node = nodeOf(pod)
    // Nobody is left on a node that is gone to end its pods.
    if (!names.has(node)) deletePod(store, pod, { gracePeriodSeconds: 0 })
    else byNode.set(node, [...(byNode.get(node) ?? []), pod])
  }
  const spec = daemonSpec(set)
  const wanted = nodes.filter((node) => misfit(tolerant(spec), node) === undefined).map((node) => node.metadata.name)
  for (const [node, pods] of byNode) {
    if (!wanted.includes(node)) for (const pod of pods) deletePod(store, pod)
    for (const pod of pods) {
      if (pod.status?.phase !== 'Failed' || pod.metadata.deletionTimestamp) continue
      const wait = failures.failed(`${set.metadata.uid}/${hash}/${node}`)
      if (wait > 0) waits.push(wait)
      else deletePod(store, pod)
    }
    for (const pod of surplus(pods, hash)) deletePod(store, pod)
  }
  const empty = wanted.filter((node) => !byNode.has(node))
  const changes = set.spec.updateStrategy?.type === 'RollingUpdate' ? rollingUpdate(set, hash, wanted, byNode) : { create: [], remove: [] }
  for (const pod of changes.remove) deletePod(store, pod)
  for (const node of [...empty, ...changes.create]) create(store, set, hash, node)
  writeStatus(store, set, hash, wanted)
  for (const pod of controlledBy(store, resources.pods, set)) waits.push(availableIn(pod, set.spec.minReadySeconds) ?? 0)
  return waits.filter((ms) => ms > 0).sort((a, b) => a - b)[0]
}

/** More than one pod of one revision on a node: all but the oldest. */
function surplus(pods: readonly Pod[], hash: string): Pod[] {
  const active = pods.filter((pod) => !pod.metadata.deletionTimestamp).sort(byAge)
  const isNew = (pod: Pod) => pod.metadata.labels?.[revisionLabel] === hash
  return [...active.filter(isNew).slice(1), ...active.filter((pod) => !isNew(pod)).slice(1)]
}

function create(store: Store, set: DaemonSet, hash: string, node: string): void {
  const generation = { 'pod-template-generation': String(set.metadata.generation ?? 1) }
  const pod = podOf(set, set.spec.template, { [revisionLabel]: hash, ...generation })
  const term = { matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] }
  const nodeAffinity = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] } }
  const affinity = { ...(set.spec.template.spec.affinity as object | undefined), nodeAffinity }
  store.create(resources.pods, { ...pod, spec: { ...daemonSpec(set), affinity } })
}

function daemonSpec({ spec: { template } }: DaemonSet): Pod['spec'] {
  return { ...template.spec, tolerations: daemonTolerations(template.spec.tolerations ?? [], template.spec.hostNetwork === true) }
}

/** Nodes that aren't ready count too: what makes them ready may be this very DaemonSet. */
const tolerant = (spec: Pod['spec']): Pod['spec'] => ({
  ...spec,
  tolerations: [...(spec.tolerations ?? []), { key: 'node.kubernetes.io/not-ready', operator: 'Exists' }],
})

/** The node a pod runs on or, until it is bound, is meant for. */
export function nodeOf({ spec }: Pod): string {
  if (spec.nodeName) return spec.nodeName
  const affinity = spec.affinity as
    | {
        nodeAffinity?: {
          requiredDuringSchedulingIgnoredDuringExecution?: { nodeSelectorTerms?: { matchFields?: { values?: string[] }[] }[] }
        }
      }
    | undefined
  const [term] = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? []
  return term?.matchFields?.[0]?.values?.[0] ?? ''
}

function writeStatus(store: Store, set: DaemonSet, hash: string, wanted: readonly string[]): void {
  const pods = controlledBy(store, resources.pods, set).filter((pod) => !pod.metadata.deletionTimestamp)
  const on = (node: string) => pods.filter((pod) => nodeOf(pod) === node)
  const count = (test: (pod: Pod) => boolean) => wanted.filter((node) => on(node).some(test)).length
  const available = count((pod) => isAvailable(pod, set.spec.minReadySeconds))
  const status = {
    currentNumberScheduled: count(() => true),
    desiredNumberScheduled: wanted.length,
    numberMisscheduled: new Set(pods.map(nodeOf).filter((node) => !wanted.includes(node))).size,
    numberReady: count(isReady),
    updatedNumberScheduled: count((pod) => pod.metadata.labels?.[revisionLabel] === hash),
    numberAvailable: available,
    ...(available < wanted.length && { numberUnavailable: wanted.length - available }),
    observedGeneration: set.metadata.generation!,
  }
  store.update(
    resources.daemonsets,
    { ...set, metadata: { name: set.metadata.name, namespace: set.metadata.namespace! }, status },
    { subresource: 'status' },
  )
}
