import { Backoff, pause } from './backoff.ts'
import type { ContainerExit, RunningContainer } from './container.ts'
import { MissingReference } from './environment.ts'
import { apiTime, type Container, type ContainerState, type ContainerStatus } from './pod.ts'
import { attempt } from './probe-attempt.ts'
import { Prober } from './prober.ts'

/** What a container's life needs from its pod. */
export interface ContainerHost {
  readonly netnsPath: string
  readonly podIP: string
  /** Starts the container; `attempt` counts from 0. @throws ContainerError or MissingReference */
  start(spec: Container, attempt: number): Promise<RunningContainer>
  event(type: 'Normal' | 'Warning', reason: string, message: string, container: string): void
  changed(): void
}

/** A container cannot be started; `reason` is what its status says, such as `ErrImageNeverPull`. */
export class ContainerError extends Error {
  override name = 'ContainerError'
  readonly reason: string
  constructor(reason: string, message: string) {
    super(message)
    this.reason = reason
  }
}

export type RestartPolicy = 'Always' | 'OnFailure' | 'Never'

/** A run that lasted this long (milliseconds) makes the next restart quick again. */
const stable = 10_000

/** One container of a pod over its restarts. */
export class ContainerLife {
  readonly spec: Container
  private readonly host: ContainerHost
  private readonly policy: RestartPolicy
  private readonly backoff = new Backoff(200, 10_000)
  /** Between attempts that did not get as far as a process. */
  private readonly failures = new Backoff(100, 2000)
  private readonly probers: Prober[] = []
  private running: RunningContainer | undefined
  private state: ContainerState = { waiting: { reason: 'ContainerCreating' } }
  private lastState: ContainerState = {}
  private restarts = 0
  private runs = 0
  private id: string | undefined
  private ready = false
  private started = false
  private unhealthy = false
  private ending = false
  private kicked = new AbortController()
  private startedOnce = Promise.withResolvers<void>()

  constructor(spec: Container, policy: RestartPolicy, host: ContainerHost) {
    this.spec = spec
    this.policy = policy
    this.host = host
  }

  /** Resolves when the container has passed its startup probe for the first time, or has none and runs. */
  get hasStarted(): Promise<void> {
    return this.startedOnce.promise
  }

  /** Runs the container, again and again as its policy says, until it is done or `stop` is aborted. @returns its last exit code */
  async run(stop: AbortSignal): Promise<number> {
    for (;;) {
      const exit = await this.runOnce(stop)
      const again = this.policy === 'Always' || (this.policy === 'OnFailure' && exit?.exitCode !== 0) || exit === undefined
      if (stop.aborted || this.ending || !again) return exit?.exitCode ?? 0
      const delay = (exit ? this.backoff : this.failures).next()
      if (exit) {
        this.lastState = this.state
        this.state = {
          waiting: { reason: 'CrashLoopBackOff', message: `back-off ${delay}ms restarting failed container=${this.spec.name}` },
        }
        this.restarts++
        this.changed()
      }
      await pause(delay, exit ? stop : AbortSignal.any([stop, this.kicked.signal]))
      if (stop.aborted || this.ending) return exit?.exitCode ?? 0
    }
  }

  /** What it lacked may be there now: a container that could not be started is tried again at once. */
  kick(): void {
    this.kicked.abort()
    this.kicked = new AbortController()
    this.failures.reset()
  }

  /** SIGTERM; SIGKILL when `hurry` is aborted. Resolves when the container is gone; it is not started again. */
  async terminate(hurry: AbortSignal): Promise<void> {
    this.ending = true
    this.stopProbes()
    const { running } = this
    if (!running) return
    const kill = () => void running.kill('SIGKILL')
    hurry.addEventListener('abort', kill)
    await running.kill(hurry.aborted ? 'SIGKILL' : 'SIGTERM')
    await running.exited
    hurry.removeEventListener('abort', kill)
  }

  status(): ContainerStatus {
    const { name, image = '' } = this.spec
    return {
      name,
      image,
      imageID: this.runs > 0 ? image : '',
      ...(this.id === undefined ? {} : { containerID: `containerd://${this.id}` }),
      ready: this.ready,
      started: this.started,
      restartCount: this.restarts,
      state: this.state,
      lastState: this.lastState,
    }
  }

  /** @returns how it ended; undefined if it could not be started */
  private async runOnce(stop: AbortSignal): Promise<ContainerExit | undefined> {
    let running: RunningContainer
    try {
      running = await this.host.start(this.spec, this.runs)
    } catch (error) {
      this.cannotStart(error as Error)
      return undefined
    }
    this.runs++
    this.running = running
    this.id = running.id
    const startedAt = apiTime()
    const began = Date.now()
    this.state = { running: { startedAt } }
    this.host.event('Normal', 'Started', `Started container ${this.spec.name}`, this.spec.name)
    // It may have been told to stop while it was being made.
    if (stop.aborted || this.ending) void running.kill('SIGKILL')
    else this.startProbes(running)
    this.changed()
    const exit = await running.exited
    this.stopProbes()
    this.running = undefined
    if (Date.now() - began > stable) this.backoff.reset()
    const reason = exit.exitCode === 0 ? 'Completed' : 'Error'
    this.state = { terminated: { ...exit, reason, startedAt, finishedAt: apiTime(), containerID: `containerd://${running.id}` } }
    this.ready = false
    this.started = false
    await running.remove()
    this.changed()
    return exit
  }

  private cannotStart(error: Error): void {
    const reason =
      error instanceof ContainerError
        ? error.reason
        : error instanceof MissingReference
          ? 'CreateContainerConfigError'
          : 'RunContainerError'
    const known = this.state.waiting?.reason === reason && this.state.waiting.message === error.message
    this.state = { waiting: { reason, message: error.message } }
    if (known) return
    this.host.event('Warning', 'Failed', `Error: ${error.message}`, this.spec.name)
    this.changed()
  }

  private startProbes(running: RunningContainer): void {
    const { startupProbe } = this.spec
    if (!startupProbe) {
      this.afterStartup(running)
      return
    }
    this.probe('Startup', running, startupProbe, undefined, (success, message) => {
      if (!success) {
        this.giveUp(running, 'startup', message)
        return
      }
      for (const prober of this.probers.splice(0)) prober.stop()
      this.afterStartup(running)
      this.changed()
    })
  }

  private afterStartup(running: RunningContainer): void {
    const { readinessProbe, livenessProbe } = this.spec
    this.started = true
    this.startedOnce.resolve()
    this.ready = !readinessProbe
    if (readinessProbe)
      this.probe('Readiness', running, readinessProbe, false, (success) => {
        this.ready = success
        this.changed()
      })
    if (livenessProbe)
      this.probe('Liveness', running, livenessProbe, true, (success, message) => success || this.giveUp(running, 'liveness', message))
  }

  private probe(
    kind: string,
    running: RunningContainer,
    probe: NonNullable<Container['readinessProbe']>,
    initial: boolean | undefined,
    onResult: (success: boolean, message: string) => void,
  ): void {
    const { netnsPath, podIP } = this.host
    const target = { netnsPath, podIP, spec: this.spec, running }
    const onFailure = (message: string) => this.host.event('Warning', 'Unhealthy', `${kind} probe failed: ${message}`, this.spec.name)
    this.probers.push(new Prober({ probe, initial, attempt: () => attempt(probe, target), onResult, onFailure }))
  }

  /** A failed startup or liveness probe: the container is ended, and its policy says what comes next. */
  private giveUp(running: RunningContainer, which: string, message: string): void {
    if (this.unhealthy) return
    this.unhealthy = true
    this.stopProbes()
    this.host.event(
      'Normal',
      'Killing',
      `Container ${this.spec.name} failed ${which} probe, will be restarted (${message})`,
      this.spec.name,
    )
    const grace = setTimeout(() => void running.kill('SIGKILL'), 2000)
    void running.kill('SIGTERM')
    void running.exited.then(() => {
      clearTimeout(grace)
      this.unhealthy = false
    })
  }

  private stopProbes(): void {
    for (const prober of this.probers.splice(0)) prober.stop()
  }

  private changed(): void {
    this.host.changed()
  }
}
