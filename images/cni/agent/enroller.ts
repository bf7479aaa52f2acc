import { isIP } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Log, RedirectedPod, Redirection } from '../redirect/redirection.ts'
import { isEligible, isZtunnel, type Rules, redirectionAnnotation } from '../shared/eligibility.ts'
import type { AddEvent } from '../shared/event.ts'
import { KeyedLock, RetryQueue } from './keyed-queue.ts'
import { closeNamespace, holdsAddress, type Namespace } from './netns.ts'
import { isAnnotated, type Pod, type PodStore } from './pods.ts'
import type { ProxyWorkload } from './zds-server.ts'

/** What the annotation may say; null: it is to be taken off. */
export type RedirectionState = 'enabled' | 'pending' | null

export interface EnrollerParts {
  readonly pods: PodStore
  readonly redirection: Redirection
  readonly proxies: { add(workload: ProxyWorkload & { readonly netns: number }): Promise<void>; remove(uid: string): Promise<void> }
  /** Running pods' namespaces. */
  readonly findNamespace: (uid: string) => Promise<Namespace | undefined>
  /** A namespace by the path that the container runtime gave. */
  readonly openNamespace: (path: string) => Namespace
  readonly annotate: (pod: Pod, state: RedirectionState) => Promise<void>
  readonly rules: Rules
  /** A running pod that leaves stays captured for so long after it has said so, and then so long for what is in flight; within the last, a proxy that may carry on has ended what it carries. Milliseconds. */
  readonly leaving: { readonly peersMs: number; readonly inFlightMs: number; readonly lingerMs: number }
  readonly log: Log
}

/** A pod that is, or is being, captured. */
interface Entry {
  readonly uid: string
  pod: Pod
  namespace: Namespace | undefined
  /** Told by the container runtime at ADD, before the pod's status has them. */
  runtimeIps: readonly string[]
  /** The status' addresses at that time: while they stay, the runtime knows better. */
  statusIpsThen: string
  /** The proxy has taken it. */
  served: boolean
}

/**
 * Brings pods into the mesh and out of it. For one pod everything happens one after the other, whether the container runtime or
 * the API asked for it; different pods go side by side. In: rules and proxy, then the node's sets, then the annotation; out: the annotation, then the rest.
 */
export class Enroller {
  readonly #parts: EnrollerParts
  readonly #entries = new Map<string, Entry>()
  /** Pods that were there before this agent and do not say whether they are redirected. */
  readonly #unsaid = new Set<string>()
  /** Pods that have left while their proxy carries on: what it needs goes when the time is over. */
  readonly #lingering = new Map<string, NodeJS.Timeout>()
  readonly #lock = new KeyedLock()
  readonly #queue: RetryQueue

  constructor(parts: EnrollerParts) {
    this.#parts = parts
    this.#queue = new RetryQueue(
      (uid) => this.#lock.run(uid, () => this.#reconcile(uid)),
      (uid, error, retryMs) => {
        const pod = parts.pods.get(uid)
        parts.log.error(`failed to reconcile pod: ${error.message}`, { pod: pod ? `${pod.namespace}/${pod.name}` : uid, retry_ms: retryMs })
      },
    )
  }

  /** All pods that a proxy that connects now must be told of. */
  workloads(): ProxyWorkload[] {
    return [...this.#entries.values()].map(workload)
  }

  /** At agent start, when the store is filled: takes over the pods that a former agent enrolled and mends what differs; then follows the store. */
  async start(): Promise<void> {
    const { pods, redirection, rules, log } = this.#parts
    const enrolled = pods
      .all()
      .filter((p) => p.annotations[redirectionAnnotation] === 'enabled' && !p.terminal && !p.hostNetwork)
      .filter((p) => !isZtunnel(p, rules.systemNamespace))
    await Promise.all(
      enrolled.map((pod) =>
        this.#lock.run(pod.uid, async () => {
          const entry = this.#entry(pod)
          try {
            entry.namespace = await this.#parts.findNamespace(pod.uid)
            if (!entry.namespace) return log.warn('enrolled pod has no process on this node yet', about(pod))
            if ((await redirection.reconcilePod(captured(entry, entry.namespace))) === 'repaired')
              log.warn('redirection of an enrolled pod differed and was repaired', about(pod))
            // Whichever proxy connects gets it with the snapshot; the annotation is true already.
            entry.served = true
          } catch (error) {
            log.error(`failed to reconcile an enrolled pod: ${(error as Error).message}`, about(pod))
          }
        }),
      ),
    )
    const complete = enrolled.every((p) => p.ips.length > 0)
    await redirection.reconcileHost(
      enrolled.map((pod) => describe(this.#entry(pod))),
      complete,
    )
    pods.on('pod', (uid) => this.#queue.add(uid))
    for (const pod of pods.all()) {
      if (!isAnnotated(pod)) this.#unsaid.add(pod.uid)
      this.#queue.add(pod.uid)
    }
  }

  /** A new proxy has the snapshot: pods that were waiting for one go on. */
  proxyReady(): void {
    for (const entry of this.#entries.values()) if (!entry.served) this.#queue.add(entry.uid)
  }

  /** The container runtime is starting a pod. Resolves when it is enrolled. @throws Error: the runtime must not start the pod, and tries again */
  addFromRuntime(pod: Pod, event: AddEvent): Promise<void> {
    return this.#lock.run(pod.uid, async () => {
      const ips = event.IPs.map((ip) => ip.Address.IP).filter((ip) => isIP(ip) !== 0)
      const namespace = this.#parts.openNamespace(event.Netns)
      const entry: Entry = { uid: pod.uid, pod, namespace, runtimeIps: ips, statusIpsThen: pod.ips.join(), served: false }
      try {
        if (ips.length > 0 && !holdsAddress(namespace, ips))
          throw new Error(`none of the pod's addresses (${ips.join(', ')}) is on an interface in ${event.Netns}`)
        await this.#parts.redirection.addPod(captured(entry, namespace))
      } catch (error) {
        closeNamespace(namespace)
        throw error
      }
      // A sandbox made anew has a namespace of its own.
      const former = this.#entries.get(pod.uid)?.namespace
      this.#entries.set(pod.uid, entry)
      if (former) closeNamespace(former)
      await this.#serve(entry, namespace, this.#parts.proxies.add({ ...workload(entry), netns: namespace.fd }))
    })
  }

  /** No more work is begun. Entries stay: a new agent takes over. */
  stop(): void {
    void this.#queue.close()
    for (const timer of this.#lingering.values()) clearTimeout(timer)
  }

  async #reconcile(uid: string): Promise<void> {
    const { pods, rules, redirection } = this.#parts
    const pod = pods.get(uid)
    const entry = this.#entries.get(uid)
    if (!pod || pod.terminal) {
      this.#unsaid.delete(uid)
      this.#endLingering(uid)
      if (entry) await this.#drop(entry)
      return
    }
    if (entry) entry.pod = pod
    const namespaceLabels = pods.namespaceLabels(pod.namespace)
    // Unknown is not unlabelled: its labels are still on their way.
    if (!namespaceLabels) return
    if (!isEligible(pod, namespaceLabels, rules)) {
      if (entry || isAnnotated(pod)) await this.#leave(pod, entry)
      else if (this.#unsaid.has(uid)) await this.#sweep(pod)
      this.#unsaid.delete(uid)
      return
    }
    this.#unsaid.delete(uid)
    if (entry?.served) {
      await redirection.podServed(captured(entry, entry.namespace!))
      if (pod.annotations[redirectionAnnotation] !== 'enabled') await this.#parts.annotate(pod, 'enabled')
      return
    }
    await this.#enrol(pod, entry)
  }

  /** A pod that runs already, or that an earlier try left half way. */
  async #enrol(pod: Pod, known: Entry | undefined): Promise<void> {
    // Without an address it is not running: the container runtime's ADD will bring it.
    if (!known?.namespace && pod.ips.length === 0) return
    const namespace = known?.namespace ?? (await this.#parts.findNamespace(pod.uid))
    if (!namespace) throw new Error('no process of the pod found on this node')
    const entry = this.#entry(pod)
    entry.namespace = namespace
    this.#endLingering(pod.uid)
    // The proxy first: its listeners stand when the first connection is turned to them. If it refuses, the pod is captured all the same, and waits for it.
    const served = this.#parts.proxies.add({ ...workload(entry), netns: namespace.fd })
    await served.catch(() => {})
    // The entry stays when this fails: it is tried again, what is captured stays captured.
    await this.#parts.redirection.addRunningPod(captured(entry, namespace))
    await this.#serve(entry, namespace, served)
  }

  /** The second half of enrolment, the pod's traffic being captured already. @param served the proxy has been asked to take it */
  async #serve(entry: Entry, namespace: Namespace, served: Promise<void>): Promise<void> {
    const { annotate, redirection, log } = this.#parts
    try {
      await served
    } catch (error) {
      if (entry.pod.annotations[redirectionAnnotation] !== 'pending')
        await annotate(entry.pod, 'pending').catch((e: Error) => log.error(`failed to annotate pod: ${e.message}`, about(entry.pod)))
      throw error
    }
    entry.served = true
    await redirection.podServed(captured(entry, namespace))
    await annotate(entry.pod, 'enabled')
    log.debug('pod is enrolled', about(entry.pod))
  }

  /** A pod that runs on without the mesh. */
  async #leave(pod: Pod, entry: Entry | undefined): Promise<void> {
    const { proxies, redirection, annotate, findNamespace, log } = this.#parts
    const namespace = entry?.namespace ?? (pod.hostNetwork ? undefined : await findNamespace(pod.uid))
    if (entry) entry.namespace = namespace
    if (!namespace && pod.ips.length > 0 && !pod.hostNetwork)
      throw new Error('no process of the pod found on this node, its rules cannot be removed')
    // First: who reads it must not count on what is about to go, and its peers have time to hear that it is no tunnel's end any more.
    await annotate(pod, null)
    const { peersMs, inFlightMs, lingerMs } = this.#parts.leaving
    const leaver = describe(entry ?? newEntry(pod))
    let lingers = false
    try {
      if (namespace && entry?.served) {
        await delay(peersMs)
        await redirection.stopCapture({ ...leaver, netns: namespace.fd })
        await delay(inFlightMs)
        lingers = await redirection.endCapture({ ...leaver, netns: namespace.fd })
      }
      if (!lingers) await redirection.removePod({ ...leaver, ...(namespace ? { netns: namespace.fd } : {}) }, true)
      await proxies.remove(pod.uid)
      this.#entries.delete(pod.uid)
    } finally {
      if (namespace && !this.#entries.has(pod.uid)) closeNamespace(namespace)
    }
    if (lingers) this.#linger(pod.uid, lingerMs)
    log.debug('pod has left the mesh', about(pod))
  }

  /** The rest goes later, unless the pod is back by then. */
  #linger(uid: string, ms: number): void {
    const over = () => {
      this.#unsaid.add(uid)
      this.#queue.add(uid)
    }
    this.#lingering.set(uid, setTimeout(over, ms).unref())
  }

  /** @returns whether it did linger */
  #endLingering(uid: string): boolean {
    clearTimeout(this.#lingering.get(uid))
    return this.#lingering.delete(uid)
  }

  /** A former agent may have ended between capturing a pod and annotating it, and the pod's label may have gone since; or a pod has left some time ago. */
  async #sweep(pod: Pod): Promise<void> {
    const { redirection, findNamespace, log } = this.#parts
    const namespace = pod.hostNetwork ? undefined : await findNamespace(pod.uid)
    if (!namespace) return
    try {
      if (!(await redirection.isMarked(namespace.fd))) return
      await redirection.removePod({ ...describe(newEntry(pod)), netns: namespace.fd }, true)
      if (this.#endLingering(pod.uid)) log.debug('what carried connections of a pod that has left is gone', about(pod))
      else log.warn('pod outside the mesh was half captured by a former agent and was let go', about(pod))
    } finally {
      closeNamespace(namespace)
    }
  }

  /** A pod that is gone, or whose containers have ended for good. */
  async #drop(entry: Entry): Promise<void> {
    await this.#parts.redirection.removePod(describe(entry), false)
    this.#entries.delete(entry.uid)
    await this.#parts.proxies.remove(entry.uid)
    if (entry.namespace) closeNamespace(entry.namespace)
  }

  #entry(pod: Pod): Entry {
    const entry = this.#entries.get(pod.uid) ?? newEntry(pod)
    this.#entries.set(pod.uid, entry)
    return entry
  }
}

function newEntry(pod: Pod): Entry {
  return { uid: pod.uid, pod, namespace: undefined, runtimeIps: [], statusIpsThen: '', served: false }
}

function describe(entry: Entry): Omit<RedirectedPod, 'netns'> {
  const { uid, namespace, name, labels, annotations } = entry.pod
  const runtime = entry.runtimeIps.length > 0 && entry.pod.ips.join() === entry.statusIpsThen
  return { uid, namespace, name, labels, annotations, ips: runtime ? entry.runtimeIps : entry.pod.ips }
}

function captured(entry: Entry, namespace: Namespace): RedirectedPod {
  return { ...describe(entry), netns: namespace.fd }
}

function workload(entry: Entry): ProxyWorkload {
  const { uid, name, namespace, serviceAccount } = entry.pod
  return { uid, info: { name, namespace, serviceAccount }, netns: entry.namespace?.fd }
}

function about(pod: Pod): Record<string, string> {
  return { pod: `${pod.namespace}/${pod.name}`, uid: pod.uid }
}
