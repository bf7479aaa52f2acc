import type { Observation } from '../evidence/observation.ts'

/** Resources of a ztunnel, by the names that the control plane gives them (fact sheet: in-pod mode, 5.2). */
export const workloadName = (namespace: string, pod: string): string => `Kubernetes//Pod/${namespace}/${pod}`
export const policyName = (namespace: string, policy: string): string => `${namespace}/${policy}`
/** What workloads that take no plaintext are under (4.7). */
export const strictPolicy = policyName('istio-system', 'istio_converted_static_strict')

/** What every ztunnel has to be told. */
export interface Awaited {
  readonly put: readonly string[]
  readonly removed: readonly string[]
}

/** Has the ztunnel of each node said that it was told all of this? @param told since the change that is waited for */
export function isKnown({ put, removed }: Awaited, nodes: readonly string[], told: readonly Observation[]): boolean {
  return nodes.every((node) => {
    const lines = told.filter((t) => t.kind === 'ztunnel-log' && t.node === node && t.target === 'xds' && t.message === 'received response')
    const heard = (field: 'put' | 'removed') =>
      new Set(lines.flatMap((t) => (t.kind === 'ztunnel-log' ? (t.fields[field] ?? '').split(',') : [])))
    const [has, lost] = [heard('put'), heard('removed')]
    return put.every((name) => has.has(name)) && removed.every((name) => lost.has(name))
  })
}
