import type { Identity } from '../lib/identity.ts'
import type { MeshState, WorkloadName } from './state/store.ts'
import type { Workload } from './state/types.ts'

/** The pod that a proxy serves: who it is, as far as that is known now. */
export interface Self {
  /** Its record in the mesh. */
  workload(): Workload | undefined
  /** Whom it speaks for. */
  identity(): Identity | undefined
}

/** By the name that the agent gave: an address never decides whom the proxy speaks for. */
export function namedSelf(state: MeshState, trustDomain: string, name: WorkloadName): Self {
  const identity = { trustDomain, namespace: name.namespace, serviceAccount: name.serviceAccount }
  return { workload: () => state.workloadNamed(name), identity: () => identity }
}

/** By the addresses on the pod's interfaces, for agents that give no name. */
export function addressedSelf(state: MeshState, network: string, addresses: () => readonly string[]): Self {
  const workload = () => {
    for (const address of addresses()) {
      const found = state.workloadAt(network, address)
      if (found) return found
    }
    return undefined
  }
  return { workload, identity: workload }
}
