import { resources, type Store } from '../apiserver/store.ts'
import type { Condition, Deployment, ReplicaSet } from '../apiserver/types.ts'
import { timestamp } from '../apiserver/writes.ts'
import { byAge, controlledBy, controllerOf, ownedBy, scaled, templateHash } from './pods.ts'
import { type Controller, keyOf, refOf, stopAll, WorkQueue } from './queue.ts'

const hashLabel = 'pod-template-hash'
const revision = 'deployment.kubernetes.io/revision'

/** A ReplicaSet for each template of a Deployment; the newest takes over as the strategy says. */
export const deployments: Controller = ({ store, onError }) => {
  const queue = new WorkQueue((key) => {
    const deployment = store.find(resources.deployments, refOf(key))
    if (deployment && !deployment.metadata.deletionTimestamp) sync(store, deployment)
  }, onError)
  return stopAll([
    store.watch(resources.deployments, {}, ({ object }) => queue.add(keyOf(object))),
    store.watch(resources.replicasets, {}, ({ object }) => {
      const owner = controllerOf(object)
      if (owner?.kind === 'Deployment') queue.add(`${object.metadata.namespace}/${owner.name}`)
    }),
    () => queue.stop(),
  ])
}

function sync(store: Store, deployment: Deployment): void {
  const hash = templateHash(deployment.spec.template)
  const sets = controlledBy(store, resources.replicasets, deployment).sort(byAge)
  const old = sets.filter((set) => set.metadata.labels?.[hashLabel] !== hash)
  const found = sets.find((set) => set.metadata.labels?.[hashLabel] === hash)
  const fresh = found ?? (deployment.spec.paused ? undefined : create(store, deployment, hash, sets))
  if (fresh) bumpRevision(store, fresh, old)
  if (deployment.spec.paused) scaleProportionally(store, deployment, [...old, ...(fresh ? [fresh] : [])])
  else if (fresh) rollOut(store, deployment, fresh, old)
  prune(store, deployment, old)
  writeStatus(store, deployment, hash)
}

function create(store: Store, deployment: Deployment, hash: string, sets: readonly ReplicaSet[]): ReplicaSet {
  const { template, selector, minReadySeconds } = deployment.spec
  const { name, namespace } = deployment.metadata
  const labels = { ...template.metadata?.labels, [hashLabel]: hash }
  return store.create(resources.replicasets, {
    metadata: {
      name: `${name}-${hash}`,
      namespace: namespace!,
      labels,
      annotations: { [revision]: String(lastRevision(sets) + 1) },
      ownerReferences: ownedBy(deployment),
    },
    spec: {
      replicas: 0,
      ...(minReadySeconds !== undefined && { minReadySeconds }),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [hashLabel]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  })
}

const lastRevision = (sets: readonly ReplicaSet[]) => Math.max(0, ...sets.map((set) => Number(set.metadata.annotations?.[revision] ?? 0)))

/** A template that comes back (a roll-back) gets a new number. */
function bumpRevision(store: Store, fresh: ReplicaSet, old: readonly ReplicaSet[]): void {
  const last = lastRevision(old)
  if (Number(fresh.metadata.annotations?.[revision] ?? 0) > last) return
  store.patch(resources.replicasets, fresh.metadata, { metadata: { annotations: { [revision]: String(last + 1) } } })
}

const sum = (sets: readonly ReplicaSet[], of: (set: ReplicaSet) => number) => sets.reduce((total, set) => total + of(set), 0)
const asked = (set: ReplicaSet) => set.spec.replicas ?? 1
const running = (set: ReplicaSet) => set.status?.replicas ?? 0
const available = (set: ReplicaSet) => set.status?.availableReplicas ?? 0

function rollOut(store: Store, { spec }: Deployment, fresh: ReplicaSet, old: readonly ReplicaSet[]): void {
  const { replicas = 1, strategy } = spec
  if (strategy?.type === 'Recreate') {
    for (const set of old) scale(store, set, 0)
    if (sum(old, running) === 0) scale(store, fresh, replicas)
    return
  }
  const { maxSurge, maxUnavailable } = strategy?.rollingUpdate ?? {}
  const surge = scaled(maxSurge, replicas, Math.ceil)
  // Both zero would never move (ResolveFenceposts).
  const down = scaled(maxUnavailable, replicas, Math.floor) || (surge === 0 ? 1 : 0)
  const room = replicas + surge - sum(old, asked) - asked(fresh)
  if (asked(fresh) > replicas) scale(store, fresh, replicas)
  else if (room > 0) scale(store, fresh, Math.min(replicas, asked(fresh) + room))
  const pending = asked(fresh) - available(fresh)
  let spare = sum(old, asked) + asked(fresh) - (replicas - down) - Math.max(0, pending)
  // Pods that don't work go first: they serve nobody.
  for (const unhealthy of [true, false]) {
    for (const set of old) {
      const now = asked(store.find(resources.replicasets, set.metadata) ?? set)
      const candidates = unhealthy ? Math.max(0, now - available(set)) : now
      const less = Math.min(candidates, Math.max(0, spare))
      if (less > 0) scale(store, set, now - less)
      spare -= less
    }
  }
}

/** A paused deployment still follows its replica count: the newest set takes the difference. */
function scaleProportionally(store: Store, { spec: { replicas = 1 } }: Deployment, sets: readonly ReplicaSet[]): void {
  const target = sets.filter((set) => asked(set) > 0).at(-1) ?? sets.at(-1)
  if (target) scale(store, target, Math.max(0, asked(target) + replicas - sum(sets, asked)))
}

function scale(store: Store, set: ReplicaSet, replicas: number): void {
  if (asked(set) !== replicas) store.patch(resources.replicasets, set.metadata, { spec: { replicas } })
}

function prune(store: Store, { spec }: Deployment, old: readonly ReplicaSet[]): void {
  const idle = old.filter((set) => asked(set) === 0 && running(set) === 0)
  for (const set of idle.slice(0, Math.max(0, idle.length - (spec.revisionHistoryLimit ?? 10))))
    store.delete(resources.replicasets, set.metadata)
}

function writeStatus(store: Store, deployment: Deployment, hash: string): void {
  const { replicas = 1, strategy } = deployment.spec
  const sets = controlledBy(store, resources.replicasets, deployment)
  const fresh = sets.filter((set) => set.metadata.labels?.[hashLabel] === hash)
  const ready = sum(sets, (set) => set.status?.readyReplicas ?? 0)
  const up = sum(sets, available)
  const total = sum(sets, running)
  const mayMiss = strategy?.type === 'Recreate' ? 0 : scaled(strategy?.rollingUpdate?.maxUnavailable, replicas, Math.floor)
  const isDone = sum(fresh, running) === replicas && total === replicas && up === replicas
  const status = {
    observedGeneration: deployment.metadata.generation!,
    replicas: total,
    updatedReplicas: sum(fresh, running),
    readyReplicas: ready,
    availableReplicas: up,
    unavailableReplicas: Math.max(0, replicas - up),
    conditions: [
      condition(deployment, 'Available', up >= replicas - mayMiss, 'MinimumReplicasAvailable', 'MinimumReplicasUnavailable'),
      condition(deployment, 'Progressing', true, isDone ? 'NewReplicaSetAvailable' : 'ReplicaSetUpdated', ''),
    ],
  }
  store.patch(resources.deployments, deployment.metadata, { status }, { subresource: 'status' })
}

function condition({ status }: Deployment, type: string, holds: boolean, yes: string, no: string): Condition {
  const old = status?.conditions?.find((c) => c.type === type)
  const value = holds ? 'True' : 'False'
  const since = old?.status === value ? old.lastTransitionTime : undefined
  const reason = holds ? yes : no
  const updated = since && old?.reason === reason ? old.lastUpdateTime : timestamp()
  return { type, status: value, reason, lastTransitionTime: since ?? timestamp(), lastUpdateTime: updated }
}
