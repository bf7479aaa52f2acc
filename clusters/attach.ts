import { ObjectClient } from './apply.ts'
import type { Cluster, ClusterHandle } from './cluster.ts'
import { attachNode } from './lab/attach.ts'

/** A cluster that another process started and will take down: what a suite needs of it. */
export type AttachedCluster = Pick<Cluster, 'id' | 'provider' | 'nodes' | 'apply' | 'delete'>

export function attachCluster(handle: ClusterHandle): AttachedCluster {
  const objects = new ObjectClient(handle.kubeconfig)
  return {
    id: handle.id,
    provider: handle.provider,
    nodes: handle.nodes.map((node) => attachNode(node, handle.id)),
    apply: (list) => objects.apply(list),
    delete: (list) => objects.delete(list),
  }
}
