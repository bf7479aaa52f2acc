import { Address, Authorization, type AuthorizationInit, type WorkloadInit } from '../../lib/xds/messages.ts'
import { addressText } from '../convert/address.ts'
import { convertAuthorizationPolicy } from '../convert/authorization.ts'
import { convertEndpointSlice, serviceNameOf } from '../convert/endpoint-slice.ts'
import { matches, selects } from '../convert/labels.ts'
import { PeerAuthentications, staticStrict, staticStrictName } from '../convert/peer-authentication.ts'
import { clusterAddresses, convertService, isServed, serviceKey } from '../convert/service.ts'
import type { MeshSettings } from '../convert/settings.ts'
import { convertPod, localityOf, podUid } from '../convert/workload.ts'
import type { AuthorizationPolicy, EndpointSlice, KubeObject, Node, PeerAuthentication, Pod, Service } from '../kubernetes/objects.ts'
import { keyOf } from '../kubernetes/objects.ts'
import { ObjectStore } from './object-store.ts'
import { type Change, ResourceSet } from './resource-set.ts'

/** The kinds that resources are made from. */
export interface Kinds {
  pods: Pod
  services: Service
  endpointSlices: EndpointSlice
  nodes: Node
  authorizationPolicies: AuthorizationPolicy
  peerAuthentications: PeerAuthentication
}

export interface Changes {
  readonly address: Change
  readonly authorization: Change
}

/**
 * Turns objects into resources and keeps them up to date: a change of an object costs the conversion of what it touches, and only resources that came
 * out different count as changed.
 */
export class Conversion {
  readonly addresses = new ResourceSet()
  readonly authorizations = new ResourceSet()
  readonly #settings: MeshSettings
  readonly #objects: { readonly [K in keyof Kinds]: ObjectStore<Kinds[K]> } = {
    pods: new ObjectStore<Pod>(),
    services: new ObjectStore<Service>(),
    endpointSlices: new ObjectStore<EndpointSlice>(),
    nodes: new ObjectStore<Node>(),
    authorizationPolicies: new ObjectStore<AuthorizationPolicy>(),
    peerAuthentications: new ObjectStore<PeerAuthentication>(),
  }
  /** What is to be converted again, by key (`ns/name`). */
  readonly #stale = { pods: new Set<string>(), services: new Set<string>(), endpointSlices: new Set<string>(), policies: new Set<string>() }
  /** Namespaces whose PeerAuthentications are to be looked at again. */
  readonly #stalePeers = new Set<string>()
  /** Names of the resources that an object made, where that is not one to one. */
  readonly #made = new Map<string, ReadonlySet<string>>()
  readonly #peers = new Map<string, PeerAuthentications>()

  constructor(settings: MeshSettings) {
    this.#settings = settings
  }

  put<K extends keyof Kinds>(kind: K, object: Kinds[K]): void {
    const before = this.#objects[kind].get(keyOf(object))
    this.#objects[kind].put(object)
    this.#touched(kind, object, before)
  }

  remove<K extends keyof Kinds>(kind: K, object: KubeObject): void {
    const before = this.#objects[kind].get(keyOf(object))
    this.#objects[kind].delete(object)
    if (before) this.#touched(kind, before, before)
  }

  /** Brings the resources up to date. @returns the names of those that are different or gone since the last time */
  flush(): Changes {
    const address = new Recorder(this.addresses)
    const authorization = new Recorder(this.authorizations)
    for (const namespace of this.#stalePeers) this.#convertPeers(namespace, authorization)
    for (const key of this.#stale.policies) this.#convertPolicy(key, authorization)
    for (const key of this.#stale.services) this.#convertService(key, address)
    for (const key of this.#stale.endpointSlices) this.#convertSlice(key, address)
    for (const key of this.#stale.pods) this.#convertPod(key, address)
    this.#stalePeers.clear()
    for (const keys of Object.values(this.#stale)) keys.clear()
    return { address: address.change(), authorization: authorization.change() }
  }

  #touched(kind: keyof Kinds, object: KubeObject, before: KubeObject | undefined): void {
    const key = keyOf(object)
    const { namespace = '' } = object.metadata
    const isRoot = namespace === this.#settings.rootNamespace
    if (kind === 'pods') this.#stale.pods.add(key)
    if (kind === 'services') {
      this.#stale.services.add(key)
      this.#podsOf(namespace)
      for (const slice of this.#objects.endpointSlices.keysIn(namespace)) this.#stale.endpointSlices.add(slice)
    }
    if (kind === 'endpointSlices') {
      this.#stale.endpointSlices.add(key)
      for (const slice of [object, before] as (EndpointSlice | undefined)[])
        for (const { targetRef } of slice?.endpoints ?? [])
          if (targetRef?.kind === 'Pod') this.#stale.pods.add(`${targetRef.namespace ?? namespace}/${targetRef.name}`)
    }
    if (kind === 'nodes') {
      // Nodes tell of themselves all the time; of all that, only their place counts.
      const place = (node: KubeObject | undefined) => JSON.stringify(localityOf(node))
      if (before === object || place(before) !== place(object))
        for (const pod of this.#objects.pods.all()) if (pod.spec.nodeName === object.metadata.name) this.#stale.pods.add(keyOf(pod))
    }
    if (kind === 'authorizationPolicies') {
      this.#stale.policies.add(key)
      this.#podsOf(isRoot ? undefined : namespace)
    }
    if (kind === 'peerAuthentications') {
      for (const own of isRoot ? this.#objects.peerAuthentications.namespaces() : []) this.#stalePeers.add(own)
      this.#stalePeers.add(namespace)
      this.#peers.clear()
      this.#podsOf(isRoot ? undefined : namespace)
    }
  }

  /** @param namespace undefined: all */
  #podsOf(namespace: string | undefined): void {
    const keys = namespace === undefined ? this.#objects.pods.keys() : this.#objects.pods.keysIn(namespace)
    for (const key of keys) this.#stale.pods.add(key)
  }

  #convertPod(key: string, to: Recorder): void {
    const [namespace = '', name = ''] = key.split('/')
    const pod = this.#objects.pods.get(key)
    const workload =
      pod &&
      convertPod(
        pod,
        { services: this.#servicesOf(pod), policies: this.#policiesOf(pod), node: this.#objects.nodes.get(pod.spec.nodeName ?? '') },
        this.#settings,
      )
    if (workload) this.#putWorkload(workload, to)
    else to.remove(podUid(namespace, name, this.#settings))
  }

  #putWorkload(workload: WorkloadInit, to: Recorder): void {
    to.put({
      name: workload.uid ?? '',
      bytes: Address.encode({ workload }),
      aliases: (workload.addresses ?? []).map((ip) => this.#alias(ip)),
      belongsTo: Object.keys(workload.services ?? {}),
    })
  }

  /** Those whose selector has it, and those without a selector that some EndpointSlice puts it behind. */
  #servicesOf(pod: Pod): Service[] {
    const { namespace = '', labels = {}, name, uid } = pod.metadata
    const selecting = this.#objects.services.in(namespace).filter((s) => isServed(s) && selects(s.spec.selector, labels))
    const found = new Map(selecting.map((s) => [s.metadata.name, s]))
    for (const slice of this.#objects.endpointSlices.in(namespace)) {
      const serviceName = serviceNameOf(slice)
      if (serviceName === undefined || found.has(serviceName)) continue
      const service = this.#objects.services.get(`${namespace}/${serviceName}`)
      // Where there is a selector, it decides: slices come later than labels.
      if (!service || !isServed(service) || Object.keys(service.spec.selector ?? {}).length > 0) continue
      const points = slice.endpoints?.some(({ targetRef: ref }) => ref?.kind === 'Pod' && ref.name === name && (ref.uid ?? uid) === uid)
      if (points) found.set(serviceName, service)
    }
    return [...found.values()]
  }

  #policiesOf(pod: Pod): string[] {
    const { namespace = '', labels = {} } = pod.metadata
    const { rootNamespace } = this.#settings
    const near = new Set([namespace, rootNamespace])
    const selecting = [...near].flatMap((ns) =>
      this.#objects.authorizationPolicies
        .in(ns)
        .filter((p) => p.spec?.selector && matches(p.spec.selector.matchLabels ?? {}, labels))
        .map(keyOf)
        .filter((key) => convertAuthorizationPolicy(this.#objects.authorizationPolicies.get(key)!, rootNamespace)),
    )
    return [...selecting.sort(), ...this.#peersOf(namespace).policiesFor(labels)]
  }

  #peersOf(namespace: string): PeerAuthentications {
    let peers = this.#peers.get(namespace)
    if (!peers) {
      const { rootNamespace } = this.#settings
      const stored = this.#objects.peerAuthentications
      peers = new PeerAuthentications(
        [...new Set([namespace, rootNamespace])].flatMap((ns) => stored.in(ns)),
        namespace,
        rootNamespace,
      )
      this.#peers.set(namespace, peers)
    }
    return peers
  }

  #convertService(key: string, to: Recorder): void {
    const [namespace = '', name = ''] = key.split('/')
    const service = this.#objects.services.get(key)
    const resource = serviceKey(namespace, name, this.#settings)
    if (service && isServed(service)) {
      const bytes = Address.encode({ service: convertService(service, this.#settings) })
      to.put({ name: resource, bytes, aliases: clusterAddresses(service).map((ip) => this.#alias(ip)), belongsTo: [] })
    } else to.remove(resource)
  }

  #convertSlice(key: string, to: Recorder): void {
    const slice = this.#objects.endpointSlices.get(key)
    const service = slice && this.#objects.services.get(`${slice.metadata.namespace}/${serviceNameOf(slice)}`)
    const workloads = service && isServed(service) ? convertEndpointSlice(slice, service, this.#settings) : []
    for (const workload of workloads) this.#putWorkload(workload, to)
    this.#keepOnly(`slice ${key}`, new Set(workloads.map((w) => w.uid ?? '')), to)
  }

  #convertPolicy(key: string, to: Recorder): void {
    const policy = this.#objects.authorizationPolicies.get(key)
    const converted = policy && convertAuthorizationPolicy(policy, this.#settings.rootNamespace)
    if (converted) putPolicy(converted, to)
    else to.remove(key)
  }

  #convertPeers(namespace: string, to: Recorder): void {
    const { rootNamespace } = this.#settings
    const converted = this.#peersOf(namespace).converted()
    for (const policy of converted) putPolicy(policy, to)
    this.#keepOnly(`peers ${namespace}`, new Set(converted.map((p) => `${p.namespace}/${p.name}`)), to)
    // It is there as soon as anybody might refer to it.
    if (this.#objects.peerAuthentications.all().next().done) to.remove(`${rootNamespace}/${staticStrictName}`)
    else putPolicy(staticStrict(rootNamespace), to)
  }

  /** Removes what `source` made before and makes no longer. */
  #keepOnly(source: string, made: ReadonlySet<string>, to: Recorder): void {
    for (const name of this.#made.get(source) ?? []) if (!made.has(name)) to.remove(name)
    if (made.size > 0) this.#made.set(source, made)
    else this.#made.delete(source)
  }

  #alias(ip: Uint8Array): string {
    return `${this.#settings.network}/${addressText(ip)}`
  }
}

function putPolicy(policy: AuthorizationInit, to: Recorder): void {
  to.put({ name: `${policy.namespace}/${policy.name}`, bytes: Authorization.encode(policy), aliases: [], belongsTo: [] })
}

/** Writes into a set and remembers what that changed. */
class Recorder {
  readonly #set: ResourceSet
  readonly #changed = new Set<string>()
  readonly #removed = new Set<string>()

  constructor(set: ResourceSet) {
    this.#set = set
  }

  put(entry: Parameters<ResourceSet['put']>[0]): void {
    if (!this.#set.put(entry)) return
    this.#changed.add(entry.name)
    this.#removed.delete(entry.name)
  }

  remove(name: string): void {
    if (!this.#set.remove(name)) return
    this.#removed.add(name)
    this.#changed.delete(name)
  }

  change(): Change {
    return { changed: [...this.#changed], removed: [...this.#removed] }
  }
}
