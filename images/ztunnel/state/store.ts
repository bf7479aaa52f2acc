import { EventEmitter } from 'node:events'
import { isDeepStrictEqual } from 'node:util'
import { type Endpoint, type Policy, policyKey, type Resources, type Service, serviceKey, type Workload } from './types.ts'

/** What a pod is called where only the agent's word counts (ZDS workload_info), never an address. */
export interface WorkloadName {
  readonly namespace: string
  readonly name: string
  readonly serviceAccount: string
}

/** A batch of changes. Removals name workload uids, `serviceKey`s and `policyKey`s; what is not there is passed over. */
export interface Changes extends Partial<Resources> {
  readonly removed?: { readonly [kind in keyof Resources]?: readonly string[] }
}

/**
 * The mesh in memory, indexed for look-ups. Resources come and go in batches (`apply`) or all at once (`replace`);
 * `changed` is emitted once for each batch, after all its changes are in.
 */
export class MeshState extends EventEmitter<{ changed: [] }> {
  readonly workloads = new Map<string, Workload>()
  readonly services = new Map<string, Service>()
  readonly policies = new Map<string, Policy>()
  readonly #byAddress = new Map<string, Set<Workload>>()
  readonly #byName = new Map<string, Set<Workload>>()
  readonly #byVip = new Map<string, Set<Service>>()
  readonly #byHost = new Map<string, Set<Service>>()
  readonly #byWorkloadHost = new Map<string, Set<Workload>>()
  /** By namespace; global ones under ''. Those that only count where a workload names them are in neither. */
  readonly #policiesIn = new Map<string, Set<Policy>>()
  /** By service key, for services that exist or will: `<namespace>/<hostname>` → workload uid → endpoint. */
  readonly #endpoints = new Map<string, Map<string, Endpoint>>()

  constructor() {
    super()
    this.setMaxListeners(0)
  }

  /** Makes the state equal to `resources`; what did not change stays the same object. */
  replace(resources: Resources): void {
    const gone = <T>(have: Map<string, T>, want: readonly T[], key: (item: T) => string) => {
      const keys = new Set(want.map(key))
      return [...have.keys()].filter((k) => !keys.has(k))
    }
    const removed = {
      workloads: gone(this.workloads, resources.workloads, (w) => w.uid),
      services: gone(this.services, resources.services, serviceKey),
      policies: gone(this.policies, resources.policies, policyKey),
    }
    this.apply({ ...resources, removed })
  }

  /** Takes the removals, then the rest; what comes as it was stays the same object. */
  apply({ removed = {}, workloads = [], services = [], policies = [] }: Changes): void {
    for (const uid of removed.workloads ?? []) this.#removeWorkload(uid)
    for (const key of removed.services ?? []) this.#removeService(key)
    for (const key of removed.policies ?? []) this.#removePolicy(key)
    for (const workload of workloads) this.#putWorkload(workload)
    for (const service of services) this.#putService(service)
    for (const policy of policies) this.#putPolicy(policy)
    this.emit('changed')
  }

  /** The workload that has this address. Several pods of the host's network share theirs; a pod of its own goes first. */
  workloadAt(network: string, address: string): Workload | undefined {
    const found = this.#byAddress.get(`${network}/${address}`)
    if (!found) return undefined
    let first: Workload | undefined
    for (const workload of found) {
      if (workload.networkMode === 'Standard') return workload
      first ??= workload
    }
    return first
  }

  workloadNamed({ namespace, name, serviceAccount }: WorkloadName): Workload | undefined {
    for (const workload of this.#byName.get(`${namespace}/${name}`) ?? []) if (workload.serviceAccount === serviceAccount) return workload
    return undefined
  }

  /** Waits for what is not there yet; undefined after `timeout` milliseconds or when `signal` fires. @param find looks for it, again after each change */
  async waitFor<T>(find: () => T | undefined, timeout: number, signal?: AbortSignal): Promise<T | undefined> {
    const now = find()
    if (now || signal?.aborted) return now
    return new Promise((resolve) => {
      const finish = (found: T | undefined) => {
        clearTimeout(timer)
        this.off('changed', look)
        signal?.removeEventListener('abort', stop)
        resolve(found)
      }
      const look = () => {
        const found = find()
        if (found) finish(found)
      }
      const stop = () => finish(undefined)
      const timer = setTimeout(stop, timeout)
      this.on('changed', look)
      signal?.addEventListener('abort', stop)
    })
  }

  serviceAt(network: string, address: string): Service | undefined {
    const found = this.#byVip.get(`${network}/${address}`)
    return found?.values().next().value
  }

  servicesWithHost(hostname: string): readonly Service[] {
    return [...(this.#byHost.get(hostname) ?? [])]
  }

  workloadsWithHost(hostname: string): readonly Workload[] {
    return [...(this.#byWorkloadHost.get(hostname) ?? [])]
  }

  endpointsOf(key: string): ReadonlyMap<string, Endpoint> {
    return this.#endpoints.get(key) ?? new Map()
  }

  /** Services that have this workload as an endpoint. */
  servicesOf(workload: Workload): Service[] {
    return Object.keys(workload.services).flatMap((key) => this.services.get(key) ?? [])
  }

  /** Policies for all workloads of a namespace: the namespace's own and the global ones. */
  *policiesOver(namespace: string): Generator<Policy> {
    yield* this.#policiesIn.get(namespace) ?? []
    yield* this.#policiesIn.get('') ?? []
  }

  /** Endpoints of services that are not known (upstream's `stagedServices`). */
  *staged(): Generator<[string, ReadonlyMap<string, Endpoint>]> {
    for (const [key, endpoints] of this.#endpoints) if (!this.services.has(key)) yield [key, endpoints]
  }

  #putWorkload(workload: Workload): void {
    const old = this.workloads.get(workload.uid)
    if (isDeepStrictEqual(old, workload)) return
    if (old) this.#removeWorkload(workload.uid)
    this.workloads.set(workload.uid, workload)
    for (const ip of workload.workloadIps) add(this.#byAddress, `${workload.network}/${ip}`, workload)
    add(this.#byName, `${workload.namespace}/${workload.name}`, workload)
    if (workload.hostname) add(this.#byWorkloadHost, workload.hostname.toLowerCase(), workload)
    for (const [key, port] of Object.entries(workload.services)) {
      const endpoints = this.#endpoints.get(key) ?? new Map<string, Endpoint>()
      endpoints.set(workload.uid, { workloadUid: workload.uid, port, status: workload.status })
      this.#endpoints.set(key, endpoints)
    }
  }

  #removeWorkload(uid: string): void {
    const workload = this.workloads.get(uid)
    if (!workload) return
    this.workloads.delete(uid)
    for (const ip of workload.workloadIps) remove(this.#byAddress, `${workload.network}/${ip}`, workload)
    remove(this.#byName, `${workload.namespace}/${workload.name}`, workload)
    if (workload.hostname) remove(this.#byWorkloadHost, workload.hostname.toLowerCase(), workload)
    for (const key of Object.keys(workload.services)) {
      const endpoints = this.#endpoints.get(key)
      endpoints?.delete(uid)
      if (endpoints?.size === 0) this.#endpoints.delete(key)
    }
  }

  #putService(service: Service): void {
    const key = serviceKey(service)
    const old = this.services.get(key)
    if (isDeepStrictEqual(old, service)) return
    if (old) this.#removeService(key)
    this.services.set(key, service)
    for (const vip of service.vips) add(this.#byVip, vip, service)
    add(this.#byHost, service.hostname.toLowerCase(), service)
  }

  #putPolicy(policy: Policy): void {
    const key = policyKey(policy)
    if (isDeepStrictEqual(this.policies.get(key), policy)) return
    this.#removePolicy(key)
    this.policies.set(key, policy)
    const place = coverage(policy)
    if (place !== undefined) add(this.#policiesIn, place, policy)
  }

  #removePolicy(key: string): void {
    const policy = this.policies.get(key)
    if (!policy) return
    this.policies.delete(key)
    const place = coverage(policy)
    if (place !== undefined) remove(this.#policiesIn, place, policy)
  }

  #removeService(key: string): void {
    const service = this.services.get(key)
    if (!service) return
    this.services.delete(key)
    for (const vip of service.vips) remove(this.#byVip, vip, service)
    remove(this.#byHost, service.hostname.toLowerCase(), service)
  }
}

function coverage({ scope, namespace }: Policy): string | undefined {
  return scope === 'Global' ? '' : scope === 'Namespace' ? namespace : undefined
}

function add<T>(index: Map<string, Set<T>>, key: string, item: T): void {
  const set = index.get(key)
  if (set) set.add(item)
  else index.set(key, new Set([item]))
}

function remove<T>(index: Map<string, Set<T>>, key: string, item: T): void {
  const set = index.get(key)
  set?.delete(item)
  if (set?.size === 0) index.delete(key)
}
