import { stringify } from 'yaml'
import type { Topology } from '../topology.ts'

/** The extra node that the control plane runs on: no pod of a topology does. */
export const controlPlane = 'control-plane'

/** A node of a cluster: its name in Kubernetes, and the container that kind makes for it. */
export interface NodeContainer {
  readonly name: string
  readonly container: string
}

/** kind's names for containers: `CLUSTER-control-plane`, `CLUSTER-worker`, `CLUSTER-worker2` … in the order of its configuration. */
export function containersOf(cluster: string, nodes: readonly string[]): NodeContainer[] {
  return [
    { name: controlPlane, container: `${cluster}-control-plane` },
    ...nodes.map((name, i) => ({ name, container: `${cluster}-worker${i === 0 ? '' : i + 1}` })),
  ]
}

/**
 * What `kind create cluster` is given: a control plane, and a worker for each node of the topology, which Kubernetes knows by the topology's name.
 * @throws Error when a node's name is taken
 */
export function kindConfiguration(cluster: string, { nodes }: Pick<Topology, 'nodes'>): string {
  if (nodes.includes(controlPlane))
    throw new Error(`a node of the topology is called ${controlPlane}, as the one that kind adds; fix: rename it`)
  const named = (kind: 'InitConfiguration' | 'JoinConfiguration', name: string) => ({
    kubeadmConfigPatches: [stringify({ kind, nodeRegistration: { name } })],
  })
  return stringify({
    kind: 'Cluster',
    apiVersion: 'kind.x-k8s.io/v1alpha4',
    name: cluster,
    // -1: Docker chooses the port, where it also listens. Pods' network is ours to configure.
    networking: { disableDefaultCNI: true, apiServerAddress: '127.0.0.1', apiServerPort: -1 },
    nodes: [
      { role: controlPlane, ...named('InitConfiguration', controlPlane) },
      ...nodes.map((name) => ({ role: 'worker', ...named('JoinConfiguration', name) })),
    ],
  })
}
