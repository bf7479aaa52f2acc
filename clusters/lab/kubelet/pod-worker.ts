import { rmSync } from 'node:fs'
import { removeCgroup } from '../node/cgroup.ts'
import { aborted, Backoff, pause } from './backoff.ts'
import { ContainerLife, type RestartPolicy } from './container-life.ts'
import { podEvent } from './events.ts'
import { apiTime, type Container, type Pod, podName } from './pod.ts'
import { podCgroup, Sandbox } from './sandbox.ts'
import { type KubeletContext, startContainer } from './start-container.ts'
import { podStatus } from './status.ts'
import { StatusReporter } from './status-reporter.ts'
import { PodVolumes } from './volumes.ts'

/** One pod on its node, from the moment the node is told of it until nothing of it is left. */
export class PodWorker {
  /** Resolves when nothing of the pod is left on the node. */
  readonly done: Promise<void>
  private readonly context: KubeletContext
  private readonly volumes: PodVolumes
  private readonly reporter: StatusReporter
  private readonly startTime: string
  private readonly init: ContainerLife[]
  private readonly containers: ContainerLife[]
  /** Aborted: the pod is to end. */
  private readonly stop = new AbortController()
  /** Aborted: its grace period is over. */
  private readonly hurry = new AbortController()
  /** Each ends when its container will not be started again. */
  private readonly runs: Promise<unknown>[] = []
  private pod: Pod
  private sandbox: Sandbox | undefined
  private finished = false
  private object: 'there' | 'gone' = 'there'
  private renewal: NodeJS.Timeout | undefined
  private graceTimer: NodeJS.Timeout | undefined

  constructor(context: KubeletContext, pod: Pod) {
    this.context = context
    this.pod = pod
    this.volumes = new PodVolumes(context.node, context.api)
    this.startTime = pod.status?.startTime ?? apiTime()
    const policy = (pod.spec.restartPolicy ?? 'Always') as RestartPolicy
    const life = (spec: Container, restart: RestartPolicy) => new ContainerLife(spec, restart, this.hostOf())
    const initPolicy = policy === 'Never' ? 'Never' : 'OnFailure'
    this.init = (pod.spec.initContainers ?? []).map((spec) => life(spec, spec.restartPolicy === 'Always' ? 'Always' : initPolicy))
    this.containers = pod.spec.containers.map((spec) => life(spec, policy))
    this.reporter = new StatusReporter(
      (former) => {
        const { init, containers, finished, startTime } = this
        const inputs = { pod: this.pod, hostIP: context.node.address, podIPs: this.podIPs(), startTime, init, containers, finished }
        return podStatus({ ...inputs, sandboxReady: this.sandbox !== undefined }, former)
      },
      (status) => context.api.patchPodStatus(this.pod, status),
    )
    this.update(pod)
    this.done = this.live()
  }

  get namespace(): string {
    return this.pod.metadata.namespace
  }

  /** Takes a newer version of the pod's object. */
  update(pod: Pod): void {
    const changed =
      JSON.stringify([pod.metadata.labels, pod.metadata.annotations]) !==
      JSON.stringify([this.pod.metadata.labels, this.pod.metadata.annotations])
    this.pod = pod
    if (pod.metadata.deletionTimestamp !== undefined)
      this.end(pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30)
    else if (changed) this.refreshVolumes()
  }

  /** An image, ConfigMap or Secret may have come that a container waits for. */
  kick(): void {
    for (const life of [...this.init, ...this.containers]) life.kick()
  }

  /** The object was removed without waiting for this node. */
  removed(): void {
    this.object = 'gone'
    this.reporter.close()
    this.end(1)
  }

  /** Files of volumes follow the objects they come from; what is missing now keeps its former content. */
  refreshVolumes(): void {
    if (this.stop.signal.aborted || !this.sandbox) return
    void this.volumes
      .refresh(this.facts())
      .catch(() => {})
      .then(() => this.renewTokens())
  }

  /** Kills everything at once and says nothing to the API or the plugins: the node itself goes. */
  async abandon(): Promise<void> {
    this.object = 'gone'
    this.abandoned = true
    this.reporter.close()
    this.end(0)
    await this.done
  }
  private abandoned = false

  private end(graceSeconds: number): void {
    clearTimeout(this.graceTimer)
    if (graceSeconds <= 0) this.hurry.abort()
    else this.graceTimer = setTimeout(() => this.hurry.abort(), graceSeconds * 1000)
    this.stop.abort()
  }

  private async live(): Promise<void> {
    const stop = this.stop.signal
    await this.orSay(() => this.serve(stop))
    await aborted(stop)
    await this.orSay(() => this.terminate())
    await this.orSay(() => this.cleanUp())
  }

  private async serve(stop: AbortSignal): Promise<void> {
    await this.prepare(stop)
    if (!stop.aborted) await this.runContainers(stop)
    if (stop.aborted) return
    this.finished = true
    await this.removeSandbox()
    this.reporter.changed()
  }

  /** What went wrong in a way that nobody has foreseen is said, and does not keep the pod from ending. */
  private async orSay(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.event('Warning', 'FailedSync', `error syncing pod ${podName(this.pod)}: ${(error as Error).stack ?? error}`)
    }
  }

  /** Volumes and sandbox, tried again until they are there or the pod is to end. */
  private async prepare(stop: AbortSignal): Promise<void> {
    await this.retry(stop, 'FailedMount', () => this.volumes.refresh(this.facts()))
    await this.retry(stop, 'FailedCreatePodSandBox', async () => {
      try {
        const { node, owned, sandboxTurns } = this.context
        this.sandbox = await sandboxTurns.run(async () => (stop.aborted ? undefined : Sandbox.create(node, owned, this.pod)))
      } catch (error) {
        throw new Error(`Failed to create pod sandbox: rpc error: code = Unknown desc = ${(error as Error).message}`)
      }
    })
    if (stop.aborted || !this.sandbox) return
    this.reporter.changed()
    // Files of the downward API may name the address, which is known only now.
    await this.retry(stop, 'FailedMount', () => this.volumes.refresh(this.facts()))
    this.renewTokens()
  }

  private async retry(stop: AbortSignal, reason: string, work: () => Promise<void>): Promise<void> {
    const backoff = new Backoff(100, 1000)
    while (!stop.aborted) {
      try {
        await work()
        return
      } catch (error) {
        this.event('Warning', reason, (error as Error).message)
        this.reporter.changed()
        await pause(backoff.next(), stop)
      }
    }
  }

  private async runContainers(stop: AbortSignal): Promise<void> {
    const run = (life: ContainerLife) => {
      const ended = life.run(stop)
      this.runs.push(ended.catch(() => {}))
      return ended
    }
    for (const life of this.init) {
      const ended = run(life)
      const code = await Promise.race([life.spec.restartPolicy === 'Always' ? life.hasStarted : ended, aborted(stop)])
      if (stop.aborted || (typeof code === 'number' && code !== 0)) return
    }
    await Promise.race([Promise.all(this.containers.map(run)), aborted(stop)])
    // A sidecar's work is done when the others' is.
    if (!stop.aborted) await this.endContainers()
  }

  private async endContainers(): Promise<void> {
    await Promise.all([...this.containers, ...this.init].map((life) => life.terminate(this.hurry.signal)))
  }

  private async terminate(): Promise<void> {
    await this.endContainers()
    // One that was just being made has seen that it is too late.
    await Promise.all(this.runs)
    clearTimeout(this.graceTimer)
    this.finished = true
    this.reporter.changed()
  }

  private async removeSandbox(): Promise<void> {
    const { sandbox } = this
    if (!sandbox) return
    if (!this.abandoned) {
      const backoff = new Backoff(100, 400)
      // A plugin that always fails must not keep the pod: its namespace goes, and all interfaces with it.
      for (let tries = 0; tries < 4; tries++) {
        try {
          await sandbox.remove()
          this.sandbox = undefined
          return
        } catch (error) {
          this.event(
            'Warning',
            'FailedKillPod',
            `error killing pod: failed to destroy network for sandbox ${JSON.stringify(sandbox.id)}: ${(error as Error).message}`,
          )
          await pause(backoff.next(), this.hurry.signal)
        }
      }
    }
    await sandbox.discard()
    this.sandbox = undefined
  }

  private async cleanUp(): Promise<void> {
    clearTimeout(this.renewal)
    clearTimeout(this.graceTimer)
    await this.volumes.close()
    const { node, api } = this.context
    const { uid, namespace, name } = this.pod.metadata
    await this.removeSandbox().catch(() => {})
    await removeCgroup(podCgroup(node, uid))
    if (this.abandoned) return
    for (const path of [`/var/lib/kubelet/pods/${uid}`, `/var/log/pods/${namespace}_${name}_${uid}`])
      rmSync(node.hostPath(path), { recursive: true, force: true })
    await this.reporter.flush()
    if (this.object === 'there') await api.deletePod(this.pod)
  }

  private hostOf() {
    const worker = this
    return {
      get netnsPath() {
        return worker.context.node.netnsPath
      },
      get podIP() {
        return worker.podIPs()[0] ?? worker.context.node.address
      },
      start: async (spec: Container, attempt: number) => {
        const { sandbox, volumes, context, pod } = this
        if (!sandbox) throw new Error('the pod has no sandbox')
        return startContainer(context, pod, spec, attempt, { sandbox, volumes, podIPs: this.podIPs() })
      },
      event: (type: 'Normal' | 'Warning', reason: string, message: string, container: string) =>
        this.event(type, reason, message, container),
      changed: () => this.reporter.changed(),
    }
  }

  private podIPs(): readonly string[] {
    return this.pod.spec.hostNetwork ? [this.context.node.address] : (this.sandbox?.addresses ?? [])
  }

  private facts() {
    return { pod: this.pod, hostIP: this.context.node.address, podIPs: this.podIPs() }
  }

  private renewTokens(): void {
    if (this.stop.signal.aborted) return
    const due = this.volumes.renewalDue()
    clearTimeout(this.renewal)
    if (due !== undefined) this.renewal = setTimeout(() => this.refreshVolumes(), Math.min(due, 2 ** 31 - 1))
  }

  private event(type: 'Normal' | 'Warning', reason: string, message: string, container?: string): void {
    if (this.object === 'gone') return
    this.context.api.createEvent(podEvent(this.pod, this.context.node.name, { type, reason, message, container })).catch(() => {})
  }
}
