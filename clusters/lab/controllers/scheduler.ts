import { resources, type Store } from '../apiserver/store.ts'
import type { Condition, Node, Pod } from '../apiserver/types.ts'
import { timestamp } from '../apiserver/writes.ts'
import { misfit } from './node-fit.ts'
import { condition, isEnded } from './pods.ts'
import { type Controller, keyOf, refOf, stopAll, WorkQueue } from './queue.ts'

/** Gives pods without a node the fitting one with the fewest pods. A pod that fits nowhere waits for a change of nodes or for pods that go. */
export const scheduler: Controller = ({ store, onError }) => {
  const waiting = new Set<string>()
  const queue = new WorkQueue((key) => {
    const pod = store.find(resources.pods, refOf(key))
    if (!pod || pod.spec.nodeName || pod.metadata.deletionTimestamp) return void waiting.delete(key)
    if (place(store, pod)) waiting.delete(key)
    else waiting.add(key)
  }, onError)
  const retry = () => {
    for (const key of waiting) queue.add(key)
  }
  const pods = store.watch(resources.pods, { fieldSelector: 'spec.schedulerName=default-scheduler' }, ({ type, object }) => {
    if (type === 'ADDED' && !object.spec.nodeName) queue.add(keyOf(object))
    if (type === 'DELETED') {
      waiting.delete(keyOf(object))
      retry()
    }
  })
  const nodes = store.watch(resources.nodes, {}, ({ type }) => {
    if (type !== 'DELETED') retry()
  })
  return stopAll([pods, nodes, () => queue.stop()])
}

/** @returns whether there was a node for it */
function place(store: Store, pod: Pod): boolean {
  const nodes = store.list(resources.nodes)
  const reasons = nodes.map((node) => misfit(unready(pod), node))
  const fitting = nodes.filter((_, index) => reasons[index] === undefined)
  if (fitting.length === 0) {
    const counted = [...new Set(reasons)].map((reason) => `${reasons.filter((r) => r === reason).length} ${reason}`)
    const message =
      nodes.length === 0 ? 'no nodes available to schedule pods' : `0/${nodes.length} nodes are available: ${counted.join(', ')}.`
    setScheduled(store, pod, { status: 'False', reason: 'Unschedulable', message })
    return false
  }
  const loads = new Map(fitting.map((node) => [node.metadata.name, 0]))
  for (const other of store.list(resources.pods)) {
    const { nodeName = '' } = other.spec
    if (!isEnded(other) && loads.has(nodeName)) loads.set(nodeName, loads.get(nodeName)! + 1)
  }
  const best = fitting.reduce((least: Node, node) => (loads.get(node.metadata.name)! < loads.get(least.metadata.name)! ? node : least))
  setScheduled(store, pod, { status: 'True' })
  store.patch(resources.pods, pod.metadata, { spec: { nodeName: best.metadata.name } })
  return true
}

/** Pods of DaemonSets go to nodes that aren't ready too: the network itself may come with them. */
function unready(pod: Pod): Pod['spec'] {
  const daemon = pod.metadata.ownerReferences?.some((owner) => owner.controller && owner.kind === 'DaemonSet')
  if (!daemon) return pod.spec
  const tolerations = [...(pod.spec.tolerations ?? []), { key: 'node.kubernetes.io/not-ready', operator: 'Exists' }]
  return { ...pod.spec, tolerations }
}

function setScheduled(store: Store, pod: Pod, state: Omit<Condition, 'type'>): void {
  const old = condition(pod, 'PodScheduled')
  if (old?.status === state.status && old?.message === state.message) return
  const entry = { type: 'PodScheduled', lastProbeTime: null, lastTransitionTime: timestamp(), ...state }
  store.patch(resources.pods, pod.metadata, { status: { conditions: [entry] } }, { type: 'strategic', subresource: 'status' })
}
