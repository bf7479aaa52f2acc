import { closeSync, fstatSync } from 'node:fs'
import type { WorkloadInfo } from '../lib/zds.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics/metrics.ts'
import type { Placement } from './placement.ts'
import type { PodProxy } from './proxy.ts'
import type { Release } from './release.ts'

const retryEvery = 5_000

interface Pod {
  readonly uid: string
  /** Undefined: the agent knows only the UID. */
  readonly info: WorkloadInfo | undefined
  /** Device and inode of the namespace: the same namespace can come with another descriptor. */
  readonly netns: string
  readonly placement: Placement
  proxy?: PodProxy
  error?: string
}

/** A proxy that could not start: the agent is told, the pod stays pending and is tried again; the stream goes on. */
export class ProxyStartError extends Error {}
/** The agent did what the protocol does not allow: the stream ends. */
export class ProtocolError extends Error {}

export interface ManagerOptions {
  readonly release: Release
  readonly log: Log
  readonly metrics: Metrics
  /** Where a pod's sockets live; takes the descriptor over. */
  readonly place: (netns: number) => Placement
  readonly start: (info: WorkloadInfo | undefined, placement: Placement) => Promise<PodProxy>
  /** How long a deleted pod's connections may go on where they may, milliseconds. */
  readonly drainDeadline: number
  /** Retry period, milliseconds. */
  readonly retryEvery?: number
}

/** Which pods there are, and a proxy for each (fact sheet: in-pod mode, 3.3). Messages are handled one after the other. */
export class PodManager {
  readonly pods = new Map<string, Pod>()
  /** Proxies of pods that were deleted while connections went on. */
  readonly #draining = new Set<PodProxy>()
  readonly #options: ManagerOptions
  /** Pods named by the snapshot that is being received; undefined when it is complete. */
  #snapshot: Set<string> | undefined
  #snapshotDone = false
  #retry: NodeJS.Timeout | undefined
  #stopped = false

  constructor(options: ManagerOptions) {
    this.#options = options
    options.metrics.active = () => [...this.pods.values()].filter((p) => p.proxy).length
    options.metrics.pending = () => this.pending.length
  }

  get pending(): Pod[] {
    return [...this.pods.values()].filter((p) => !p.proxy)
  }

  /** The snapshot of the present stream is complete and every proxy runs. */
  get ready(): boolean {
    return this.#snapshotDone && this.pending.length === 0
  }

  streamStarted(): void {
    this.#snapshot = new Set()
    this.#snapshotDone = false
  }

  streamEnded(): void {
    this.#snapshot = undefined
    this.#snapshotDone = false
  }

  /** @param netns descriptor, taken over in any case */
  async add(uid: string, info: WorkloadInfo | undefined, netns: number): Promise<void> {
    const { log, release } = this.#options
    log('info', scope, release.lines.added(uid), { uid, name: info?.name, namespace: info?.namespace })
    let key: string
    try {
      const { dev, ino } = fstatSync(netns)
      key = `${dev}:${ino}`
    } catch (error) {
      throw new ProtocolError(`the descriptor of ${uid} cannot be read: ${(error as Error).message}`)
    }
    this.#snapshot?.add(uid)
    let pod = this.pods.get(uid)
    if (pod && pod.netns !== key) {
      this.#remove(pod)
      pod = undefined
    }
    if (pod) closeSync(netns)
    else {
      pod = { uid, info, netns: key, placement: this.#options.place(netns) }
      this.pods.set(uid, pod)
    }
    if (!pod.proxy) await this.#start(pod)
  }

  keep(uid: string): void {
    this.#options.log('info', scope, this.#options.release.lines.kept, { uid })
    if (this.#snapshotDone || !this.#snapshot) throw new ProtocolError('pod keep received after snapshot')
    this.#snapshot.add(uid)
  }

  delete(uid: string): void {
    this.#options.log('info', scope, this.#options.release.lines.deleted, { uid })
    this.#snapshot?.delete(uid)
    const pod = this.pods.get(uid)
    if (pod) this.#remove(pod)
    else this.#options.log('debug', scope, 'workload was not known', { uid })
  }

  snapshotSent(): void {
    this.#options.log('info', scope, this.#options.release.lines.snapshot)
    if (this.#snapshotDone || !this.#snapshot) throw new ProtocolError('pod snapshot received already')
    for (const pod of [...this.pods.values()]) if (!this.#snapshot.has(pod.uid)) this.#remove(pod)
    this.#snapshot = undefined
    this.#snapshotDone = true
  }

  async #start(pod: Pod): Promise<void> {
    const { log, metrics } = this.#options
    try {
      const proxy = await this.#options.start(pod.info, pod.placement)
      if (this.pods.get(pod.uid) !== pod || pod.proxy) {
        proxy.stop('connection failed: the pod is gone')
        return
      }
      pod.proxy = proxy
      delete pod.error
      metrics.proxiesStarted++
    } catch (error) {
      pod.error = (error as Error).message
      log('error', scope, 'failed to start proxy', { uid: pod.uid, error: pod.error })
      this.#scheduleRetry()
      throw new ProxyStartError(`failed to start proxy for ${pod.uid}: ${pod.error}`)
    }
  }

  #scheduleRetry(): void {
    if (this.#stopped) return
    this.#retry ??= setTimeout(async () => {
      this.#retry = undefined
      for (const pod of this.pending) {
        if (this.pods.get(pod.uid) !== pod || pod.proxy) continue
        this.#options.log('info', scope, 'retrying workload', { uid: pod.uid })
        await this.#start(pod).catch(() => {})
      }
    }, this.#options.retryEvery ?? retryEvery)
  }

  #remove(pod: Pod): void {
    this.pods.delete(pod.uid)
    const finish = () => {
      pod.proxy?.stop('connection closed due to connection drain')
      pod.placement.close()
    }
    if (pod.proxy) this.#options.metrics.proxiesStopped++
    if (pod.proxy && this.#options.release.drainDeletedPods) void this.#drain([pod.proxy], this.#options.drainDeadline).then(finish)
    else finish()
  }

  /** Lets all connections end by themselves until `deadline` milliseconds have passed, then ends them. */
  async shutdown(deadline: number): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#retry)
    const proxies = [...[...this.pods.values()].flatMap((p) => p.proxy ?? []), ...this.#draining]
    await this.#drain(proxies, deadline)
    for (const proxy of proxies) proxy.stop('connection closed due to connection drain')
  }

  async #drain(proxies: readonly PodProxy[], deadline: number): Promise<void> {
    for (const proxy of proxies) this.#draining.add(proxy)
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadline)
    })
    await Promise.race([Promise.all(proxies.map((p) => p.drain())), late])
    clearTimeout(timer)
    for (const proxy of proxies) this.#draining.delete(proxy)
  }
}

const scope = 'inpod::statemanager'
