import type { ApiClient } from './api-client.ts'
import type { ContainerStatus, KubernetesObject, Pod } from './kubernetes.ts'

const logLines = 15
const eventLines = 5
/** A container that crashed this often will crash again. */
const hopelessRestarts = 3

/** Reasons of containers, of conditions and of events, as kubelet, scheduler and controllers write them. */
const fixes: Readonly<Record<string, string>> = {
  ErrImageNeverPull: 'load the image: cluster.loadImages, or correct its name in the manifest',
  ErrImagePull: 'load the image on the nodes, or correct its name in the manifest',
  ImagePullBackOff: 'load the image on the nodes, or correct its name in the manifest',
  InvalidImageName: 'correct the name of the image in the manifest',
  CrashLoopBackOff: "the container's program ends by itself: read its last log lines above",
  OOMKilled: 'it needs more memory than its limit: raise resources.limits.memory, or leave it out',
  CreateContainerConfigError: 'create the ConfigMap, Secret or key that the message names',
  CreateContainerError: "read the message: the container's mounts or rights cannot be had on this host",
  RunContainerError: "read the message: the container's program cannot be started",
  StartError: "read the message: the container's program cannot be started",
  Unschedulable: 'make room on the nodes, or take away what keeps the pod from them: the message counts the reasons',
  FailedScheduling: 'make room on the nodes, or take away what keeps the pod from them: the message counts the reasons',
  FailedMount: 'the volume that the message names has no content yet: a ConfigMap of the control plane comes when istiod runs',
  FailedCreate: 'the cluster does not admit the pod: the message names the policy or the quota',
  Unhealthy: 'its probe fails: read its last log lines above',
  Evicted: 'free the resource that the message names on that node',
  FailedCreatePodSandBox:
    'the network (a CNI plugin) refused the pod: the message names the plugin; for istio-cni look at the agent on that node',
}

type Event = KubernetesObject & {
  type?: string
  reason?: string
  message?: string
  lastTimestamp?: string
  eventTime?: string
  firstTimestamp?: string
  involvedObject?: { kind?: string; name?: string; uid?: string }
}

/** All of a pod's containers, those that run first before the others. */
const statusesOf = ({ status }: Pod): ContainerStatus[] => [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]

/** Why waiting for this pod is vain. @returns undefined while it may still become ready */
export function fatalReason(pod: Pod): string | undefined {
  const name = `pod ${pod.metadata.namespace}/${pod.metadata.name}`
  if (pod.status?.phase === 'Failed') {
    const { reason, message } = pod.status
    return `${name} failed: ${[reason, message].filter(Boolean).join(': ') || 'its containers ended'}`
  }
  for (const { name: container, state, lastState, restartCount = 0 } of statusesOf(pod)) {
    const { reason, message = container } = state?.waiting ?? {}
    // A pull that is paused has been tried and has failed: what it waits for is somebody who brings the image.
    if (reason === 'ErrImageNeverPull' || reason === 'InvalidImageName' || reason === 'ImagePullBackOff')
      return `${name}: ${reason}: ${message}`
    if (reason === 'CrashLoopBackOff' && restartCount >= hopelessRestarts) {
      const { exitCode, reason: why } = lastState?.terminated ?? {}
      const last = exitCode === undefined ? '' : ` (${why && why !== 'Error' ? `${why}, ` : ''}exit code ${exitCode})`
      return `${name}: container ${container} crashed ${restartCount} times${last}`
    }
  }
  return undefined
}

/** What is wrong with a pod that is not ready, in lines: state of its containers, last log lines, last events, the fix. */
export async function podTrouble(api: ApiClient, pod: Pod): Promise<string> {
  const { name, namespace, uid } = pod.metadata
  const { phase = 'not accepted yet', reason: failed, message, conditions = [] } = pod.status ?? {}
  const lines = [
    `pod ${namespace}/${name} on node ${pod.spec.nodeName ?? '(none)'}: ${[phase, failed, message].filter(Boolean).join(': ')}`,
  ]
  const reasons: string[] = failed ? [failed] : []
  const unscheduled = conditions.find((c) => c.type === 'PodScheduled' && c.status === 'False')
  if (unscheduled) {
    lines.push(`  not scheduled: ${[unscheduled.reason, unscheduled.message].filter(Boolean).join(': ')}`)
    if (unscheduled.reason) reasons.push(unscheduled.reason)
  }
  for (const status of statusesOf(pod)) {
    const { text, reason } = stateOf(status)
    lines.push(`  container ${status.name}: ${text}`)
    // What ended it says more than that it is started again.
    for (const one of [status.lastState?.terminated?.reason, reason]) if (one) reasons.push(one)
    if (!status.ready) lines.push(...(await lastWords(api, pod, status)))
  }
  const events = await warnings(api, namespace, ({ involvedObject: of }) => of?.name === name && (!of?.uid || of.uid === uid))
  for (const { reason, text } of events) {
    lines.push(`  event ${text}`)
    if (reason) reasons.push(reason)
  }
  const fix = reasons.map((reason) => fixes[reason]).find(Boolean)
  lines.push(`  fix: ${fix ?? `kubectl -n ${namespace} describe pod ${name}, and read its log`}`)
  return lines.join('\n')
}

/** Why a namespace's workloads have fewer pods than they should, in lines; none if nothing was refused. */
export async function workloadTrouble(api: ApiClient, namespace: string): Promise<string[]> {
  const kinds = ['DaemonSet', 'Deployment', 'ReplicaSet']
  const events = await warnings(api, namespace, ({ involvedObject: of }) => kinds.includes(of?.kind ?? ''), Number.POSITIVE_INFINITY)
  // A workload that is refused is refused again and again, in words that differ by the pod's name.
  const last = [...new Map(events.map((e) => [`${e.of} ${e.reason}`, e])).values()]
  return last.map(({ of, reason, text }) => `${of}: ${text}\n  fix: ${fixes[reason ?? ''] ?? `kubectl -n ${namespace} describe ${of}`}`)
}

/** The last lines of a container's log; of the attempt before, when the one that comes next has not begun. */
async function lastWords(api: ApiClient, { metadata }: Pod, { name, state, lastState }: ContainerStatus): Promise<string[]> {
  const path = `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}/log?container=${name}&tailLines=${logLines}`
  const before = state?.waiting !== undefined && lastState?.terminated !== undefined
  const log = await api.text('GET', path).catch(() => (before ? api.text('GET', `${path}&previous=true`).catch(() => '') : ''))
  return log
    .split('\n')
    .filter(Boolean)
    .map((line) => `    | ${line}`)
}

/** The newest warnings about some objects, the oldest first. */
async function warnings(api: ApiClient, namespace: string | undefined, isAbout: (event: Event) => boolean, most = eventLines) {
  const list = await api.list(`/api/v1/namespaces/${namespace}/events`).catch(() => ({ items: [] }))
  const when = (e: Event) => e.lastTimestamp ?? e.eventTime ?? e.firstTimestamp ?? ''
  return (list.items as Event[])
    .filter((e) => e.type === 'Warning' && isAbout(e))
    .sort((a, b) => (when(a) < when(b) ? -1 : 1))
    .slice(-most)
    .map(({ type, reason, message, involvedObject: of }) => ({
      reason,
      of: `${of?.kind} ${of?.name}`,
      text: `${type} ${reason}: ${message}`,
    }))
}

function stateOf({ state, lastState, ready, restartCount = 0 }: ContainerStatus): { text: string; reason?: string } {
  const again = restartCount > 0 ? `, restarted ${restartCount} times` : ''
  if (state?.waiting) {
    const { reason = 'waiting', message } = state.waiting
    const last = lastState?.terminated
    const ended = last ? ` (ended with exit code ${last.exitCode}${last.reason && last.reason !== 'Error' ? `, ${last.reason}` : ''})` : ''
    return { text: `${reason}${message ? `: ${message}` : ''}${ended}${again}`, reason }
  }
  if (state?.terminated) {
    const { exitCode, reason, message } = state.terminated
    return {
      text: `ended with exit code ${exitCode}${reason ? `, ${reason}` : ''}${message ? `: ${message}` : ''}${again}`,
      ...(reason ? { reason } : {}),
    }
  }
  return { text: `running, ${ready ? 'ready' : 'not ready: its readiness probe fails'}${again}` }
}
