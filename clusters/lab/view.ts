import type { EndpointSlice, KubernetesObject, Pod, Service } from '../kubernetes.ts'

/** What the lab's own agents (kube-proxy, DNS) look at, by plural name. */
export interface ViewKinds {
  namespaces: KubernetesObject
  pods: Pod
  services: Service
  endpointslices: EndpointSlice
}

/** A current picture of the API's objects. */
export interface View {
  list<K extends keyof ViewKinds>(kind: K): readonly ViewKinds[K][]
  /**
   * Calls `onChange` after objects of these kinds have changed: once for all changes of a turn of the event loop.
   * @returns stops it
   */
  watch(kinds: readonly (keyof ViewKinds)[], onChange: () => void): () => void
}
