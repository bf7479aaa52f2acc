import { ApiClient, accessOf } from './api-client.ts'
import type { Cluster, ClusterHandle } from './cluster.ts'
import { attachKindNode } from './kind/node.ts'
import { attachNode } from './lab/attach.ts'

/** A cluster that another process started and will take down: what a suite needs of it. */
export type AttachedCluster = Pick<Cluster, 'id' | 'provider' | 'nodes' | 'kubeconfig' | 'apply' | 'delete'>

export function attachCluster(handle: ClusterHandle): AttachedCluster {
  const { id, provider, kubeconfig } = handle
  const api = new ApiClient(accessOf(kubeconfig))
  return {
    id,
    provider,
    kubeconfig,
    nodes:
      handle.provider === 'lab'
        ? handle.nodes.map((node) => attachNode(node, id))
        : handle.nodes.map((node) => attachKindNode(node, handle.docker, id)),
    async apply(objects) {
      for (const object of objects) await api.apply(object)
    },
    async delete(objects) {
      for (const object of objects) await api.delete(object)
    },
  }
}
