import type { FieldProblem } from '../errors.ts'
import { type Resource, resources } from '../resources.ts'
import type { KubeObject } from '../types.ts'
import { namespaceStrategy } from './namespace.ts'
import { podStrategy } from './pod.ts'
import { serviceStrategy } from './service.ts'
import { workloadStrategy } from './workload.ts'

/** What a kind's rules may ask of the cluster. */
export interface ClusterView {
  find<T extends KubeObject = KubeObject>(resource: Resource<T>, ref: { readonly name: string; readonly namespace?: string }): T | undefined
  all<T extends KubeObject = KubeObject>(resource: Resource<T>): T[]
  /** IPv4 CIDR of ClusterIPs. */
  readonly serviceCidr: string
}

/** A kind's own rules. Drafts may be changed; what comes out is validated and then stored. */
export interface Strategy<T extends KubeObject = KubeObject> {
  /** The status of a new object is the client's (Nodes), instead of empty. */
  readonly statusOnCreate?: boolean
  /** A write of the status may change labels and annotations too. */
  readonly metadataWithStatus?: boolean
  /** metadata.generation counts changes outside of metadata and status. */
  readonly generation?: boolean
  /** Defaults and admission of a new object. @throws ApiError when it is refused */
  create?(draft: T, cluster: ClusterView): void
  /** Defaults of a changed object, and what it keeps from the old one. */
  update?(draft: T, old: T, cluster: ClusterView): void
  validate?(object: T, old: T | undefined): FieldProblem[]
}

const strategies = new Map<Resource, Strategy>()
const register = <T extends KubeObject>(resource: Resource<T>, strategy: Strategy<T>) =>
  strategies.set(resource, strategy as unknown as Strategy)

register(resources.pods, podStrategy)
register(resources.services, serviceStrategy)
register(resources.namespaces, namespaceStrategy)
register(resources.nodes, { statusOnCreate: true, metadataWithStatus: true })
register(resources.daemonsets, workloadStrategy)
register(resources.deployments, workloadStrategy)
register(resources.replicasets, workloadStrategy)
register(resources.endpointslices, { generation: true })
// What is served is a fixed list: a definition of a kind tells of one that is served already.
register(resources.customresourcedefinitions, {
  generation: true,
  create(draft) {
    draft.status = { conditions: [{ type: 'Established', status: 'True', reason: 'InitialNamesAccepted', message: '' }] }
  },
})

const custom: Strategy = { generation: true }
const plain: Strategy = {}

export function strategyOf(resource: Resource): Strategy {
  return strategies.get(resource) ?? (resource.custom ? custom : plain)
}
