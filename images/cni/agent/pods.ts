import { EventEmitter } from 'node:events'
import { redirectionAnnotation } from '../shared/eligibility.ts'

/** A pod of this node as the agent works with it. */
export interface Pod {
  readonly uid: string
  readonly namespace: string
  readonly name: string
  readonly serviceAccount: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly hostNetwork: boolean
  /** Succeeded or Failed: its containers will not run again, though the object stays. */
  readonly terminal: boolean
  /** It is being deleted; its containers may still run. */
  readonly deleting: boolean
  /** Its condition Ready is true. */
  readonly ready: boolean
  /** RFC 3339; empty when not known. */
  readonly createdAt: string
  /** Environment of all its containers, as far as it is written out. */
  readonly env: Readonly<Record<string, string>>
  readonly ips: readonly string[]
}

/** The shape of a Pod object as the API sends it, as far as it is read. */
export interface ApiPod {
  readonly metadata?: {
    readonly uid?: string
    readonly name?: string
    readonly namespace?: string
    readonly labels?: Record<string, string>
    readonly annotations?: Record<string, string>
    readonly creationTimestamp?: Date | string
    readonly deletionTimestamp?: unknown
  }
  readonly spec?: {
    readonly nodeName?: string
    readonly hostNetwork?: boolean
    readonly serviceAccountName?: string
    readonly containers?: readonly { readonly env?: readonly { readonly name: string; readonly value?: string }[] }[]
  }
  readonly status?: {
    readonly phase?: string
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
    readonly podIP?: string
    readonly podIPs?: readonly { readonly ip?: string }[]
  }
}

export function podFromApi(object: ApiPod): Pod {
  const { metadata = {}, spec = {}, status = {} } = object
  const listed = (status.podIPs ?? []).map((p) => p.ip).filter((ip) => ip !== undefined && ip !== '') as string[]
  return {
    uid: metadata.uid ?? '',
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    serviceAccount: spec.serviceAccountName || 'default',
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    hostNetwork: spec.hostNetwork === true,
    deleting: metadata.deletionTimestamp !== undefined,
    terminal: status.phase === 'Succeeded' || status.phase === 'Failed',
    ready: status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false,
    createdAt: metadata.creationTimestamp === undefined ? '' : new Date(metadata.creationTimestamp).toISOString(),
    env: Object.fromEntries(
      (spec.containers ?? []).flatMap((c) => (c.env ?? []).flatMap(({ name, value }) => (value ? [[name, value]] : []))),
    ),
    ips: listed.length > 0 ? listed : status.podIP ? [status.podIP] : [],
  }
}

/** Whether an agent has said something in the annotation; what else is there a user has (to 1.20 `disabled`). */
export const isAnnotated = ({ annotations }: Pick<Pod, 'annotations'>): boolean =>
  ['enabled', 'pending'].includes(annotations[redirectionAnnotation] ?? '')

/** What is known of this node's pods and of all namespaces. Emits `pod` with a UID whenever something that concerns that pod changed or it vanished. */
export class PodStore extends EventEmitter<{ pod: [uid: string]; namespace: [name: string] }> {
  readonly #pods = new Map<string, Pod>()
  /** `namespace/name` → UID: a pod that was deleted and made anew between two lists comes as an update. */
  readonly #names = new Map<string, string>()
  readonly #namespaces = new Map<string, Readonly<Record<string, string>>>()

  get(uid: string): Pod | undefined {
    return this.#pods.get(uid)
  }

  find(namespace: string, name: string): Pod | undefined {
    return this.#pods.get(this.#names.get(`${namespace}/${name}`) ?? '')
  }

  all(): Pod[] {
    return [...this.#pods.values()]
  }

  /** Labels of a namespace; undefined: it is not known (yet). */
  namespaceLabels(name: string): Readonly<Record<string, string>> | undefined {
    return this.#namespaces.get(name)
  }

  putPod(pod: Pod): void {
    const key = `${pod.namespace}/${pod.name}`
    const former = this.#names.get(key)
    this.#names.set(key, pod.uid)
    this.#pods.set(pod.uid, pod)
    if (former !== undefined && former !== pod.uid) {
      this.#pods.delete(former)
      this.emit('pod', former)
    }
    this.emit('pod', pod.uid)
  }

  deletePod(pod: Pick<Pod, 'uid' | 'namespace' | 'name'>): void {
    const key = `${pod.namespace}/${pod.name}`
    if (this.#names.get(key) === pod.uid) this.#names.delete(key)
    if (this.#pods.delete(pod.uid)) this.emit('pod', pod.uid)
  }

  putNamespace(name: string, labels: Readonly<Record<string, string>>): void {
    this.#namespaces.set(name, labels)
    this.emit('namespace', name)
    for (const pod of this.#pods.values()) if (pod.namespace === name) this.emit('pod', pod.uid)
  }

  deleteNamespace(name: string): void {
    this.#namespaces.delete(name)
  }
}
