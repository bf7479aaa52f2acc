import { Address, Authorization, type DeltaDiscoveryResponse, type Resource, typeUrls } from '../../lib/xds/messages.ts'
import type { Changes } from '../state/store.ts'
import { type Policy, policyKey, type Service, serviceKey, type Workload } from '../state/types.ts'
import { policyFrom } from './policy.ts'
import { serviceFrom } from './service.ts'
import { workloadFrom } from './workload.ts'

type Kind = 'workloads' | 'services' | 'policies'
type Item =
  | { readonly kind: 'workloads'; readonly key: string; readonly value: Workload }
  | { readonly kind: 'services'; readonly key: string; readonly value: Service }
  | { readonly kind: 'policies'; readonly key: string; readonly value: Policy }

/** What a response means. */
export interface Taken {
  readonly changes: Changes
  /** Resource names that were usable. */
  readonly put: readonly string[]
  readonly removed: readonly string[]
  /** Resources that were not: their former version stays. */
  readonly bad: readonly { readonly name: string; readonly reason: string }[]
}

const decoders: Readonly<Record<string, (bytes: Uint8Array) => Item>> = {
  [typeUrls.address](bytes) {
    const { workload, service } = Address.decode(bytes)
    if (workload) {
      const value = workloadFrom(workload)
      return { kind: 'workloads', key: value.uid, value }
    }
    if (!service) throw new Error('neither workload nor service is set')
    const value = serviceFrom(service)
    return { kind: 'services', key: serviceKey(value), value }
  },
  [typeUrls.authorization](bytes) {
    const value = policyFrom(Authorization.decode(bytes))
    return { kind: 'policies', key: policyKey(value), value }
  },
}

/** The resources of one type that the server has sent and not taken back, by their names on the wire. */
export class Received {
  readonly typeUrl: string
  readonly #held = new Map<string, { readonly version: string; readonly kind: Kind; readonly key: string }>()
  /** Of several names that stand for one thing, the last that came has it. */
  readonly #owners = new Map<string, string>()

  constructor(typeUrl: string) {
    this.typeUrl = typeUrl
  }

  /** For `initial_resource_versions`. */
  versions(): Record<string, string> {
    return Object.fromEntries([...this.#held].map(([name, { version }]) => [name, version]))
  }

  /** Notes what came and went, and says what it means for the mesh. Never throws: what cannot be used is in `bad`. */
  take(response: DeltaDiscoveryResponse): Taken {
    const put = { workloads: new Map<string, Workload>(), services: new Map<string, Service>(), policies: new Map<string, Policy>() }
    const removed: Record<Kind, Set<string>> = { workloads: new Set(), services: new Set(), policies: new Set() }
    const names: string[] = []
    const bad: { name: string; reason: string }[] = []
    const drop = (name: string) => {
      const old = this.#held.get(name)
      if (!old) return
      this.#held.delete(name)
      if (this.#owners.get(`${old.kind} ${old.key}`) !== name) return
      this.#owners.delete(`${old.kind} ${old.key}`)
      removed[old.kind].add(old.key)
      put[old.kind].delete(old.key)
    }
    // A resource that went and came in one response is there.
    for (const name of response.removedResources) drop(name)
    for (const resource of response.resources) {
      try {
        const item = this.#decode(resource)
        const old = this.#held.get(resource.name)
        if (old && (old.kind !== item.kind || old.key !== item.key)) drop(resource.name)
        this.#held.set(resource.name, { version: resource.version, kind: item.kind, key: item.key })
        this.#owners.set(`${item.kind} ${item.key}`, resource.name)
        ;(put[item.kind] as Map<string, Item['value']>).set(item.key, item.value)
        names.push(resource.name)
      } catch (error) {
        bad.push({ name: resource.name, reason: (error as Error).message })
      }
    }
    return {
      changes: {
        workloads: [...put.workloads.values()],
        services: [...put.services.values()],
        policies: [...put.policies.values()],
        removed: { workloads: [...removed.workloads], services: [...removed.services], policies: [...removed.policies] },
      },
      put: names,
      removed: response.removedResources,
      bad,
    }
  }

  #decode({ name, resource }: Resource): Item {
    if (name === '') throw new Error('the resource has no name')
    if (!resource) throw new Error('the resource is empty')
    if (resource.typeUrl !== this.typeUrl) throw new Error(`the resource is of type ${resource.typeUrl}`)
    return decoders[this.typeUrl]!(resource.value)
  }
}
