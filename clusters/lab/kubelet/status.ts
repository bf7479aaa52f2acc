import type { ContainerLife } from './container-life.ts'
import { apiTime, type Condition, type ContainerStatus, type Pod, type PodStatus } from './pod.ts'

export interface StatusInputs {
  readonly pod: Pod
  readonly hostIP: string
  readonly podIPs: readonly string[]
  readonly startTime: string
  readonly sandboxReady: boolean
  readonly init: readonly ContainerLife[]
  readonly containers: readonly ContainerLife[]
  /** No container of the pod will be started again. */
  readonly finished: boolean
}

/**
 * A pod's status from the states of its containers.
 * @param former the status that was reported last: times of conditions that did not change stay
 */
export function podStatus(inputs: StatusInputs, former: PodStatus | undefined): PodStatus {
  const { pod, hostIP, podIPs, sandboxReady } = inputs
  const init = inputs.init.map((life) => life.status())
  const initialized = init.every((status, i) => status.state.terminated?.exitCode === 0 || (isSidecar(inputs.init[i]) && status.started))
  const containers = inputs.containers.map((life) => waitingForInit(life.status(), initialized))
  const unready = containers.filter((status) => !status.ready).map((status) => status.name)
  const phase = phaseOf(inputs, init, containers)
  const over = phase === 'Succeeded' || phase === 'Failed'
  const ready: Omit<Condition, 'type'> = over
    ? { status: 'False', reason: phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed' }
    : unready.length > 0 || !initialized
      ? { status: 'False', reason: 'ContainersNotReady', message: `containers with unready status: [${unready.join(' ')}]` }
      : { status: 'True' }
  const conditions = withTimes(
    [
      { type: 'PodReadyToStartContainers', status: sandboxReady ? 'True' : 'False' },
      initialized
        ? { type: 'Initialized', status: 'True' }
        : { type: 'Initialized', status: 'False', reason: 'ContainersNotInitialized', message: 'containers with incomplete status' },
      { type: 'Ready', ...ready },
      { type: 'ContainersReady', ...ready },
      { type: 'PodScheduled', status: 'True' },
    ],
    [...(former?.conditions ?? []), ...(pod.status?.conditions ?? [])],
  )
  return {
    phase,
    conditions,
    hostIP,
    hostIPs: [{ ip: hostIP }],
    ...(podIPs[0] === undefined ? {} : { podIP: podIPs[0], podIPs: podIPs.map((ip) => ({ ip })) }),
    startTime: inputs.startTime,
    qosClass: 'BestEffort',
    containerStatuses: containers,
    ...(init.length > 0 ? { initContainerStatuses: init } : {}),
  }
}

function isSidecar(life: ContainerLife | undefined): boolean {
  return life?.spec.restartPolicy === 'Always'
}

function waitingForInit(status: ContainerStatus, initialized: boolean): ContainerStatus {
  const waits = !initialized && status.state.waiting?.reason === 'ContainerCreating'
  return waits ? { ...status, state: { waiting: { reason: 'PodInitializing' } } } : status
}

function phaseOf(
  inputs: StatusInputs,
  init: readonly ContainerStatus[],
  containers: readonly ContainerStatus[],
): NonNullable<PodStatus['phase']> {
  if (inputs.finished) {
    const failed = [...init, ...containers].some((status) => (status.state.terminated?.exitCode ?? 0) !== 0)
    return failed ? 'Failed' : 'Succeeded'
  }
  const begun = containers.some((status) => status.state.running || status.state.terminated || status.lastState.terminated)
  return begun ? 'Running' : 'Pending'
}

/** Conditions with the times of their last change; conditions that others have set on the pod stay. */
function withTimes(conditions: readonly Condition[], former: readonly Condition[]): Condition[] {
  const mine = conditions.map((condition) => {
    const before = former.find((c) => c.type === condition.type)
    const since = before?.status === condition.status ? before.lastTransitionTime : undefined
    return { lastProbeTime: null, lastTransitionTime: since ?? apiTime(), ...condition }
  })
  const others = new Map(former.map((c) => [c.type, c]))
  for (const { type } of conditions) others.delete(type)
  return [...mine, ...others.values()]
}
