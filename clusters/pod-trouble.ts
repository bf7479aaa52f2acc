import type { ApiClient } from './api-client.ts'
import type { ContainerStatus, KubernetesObject, Pod } from './kubernetes.ts'

const logLines = 15
/** A container that crashed this often will crash again. */
const hopelessRestarts = 3

const fixes: Record<string, string> = {
  ErrImageNeverPull: 'load the image: cluster.loadImages, or correct its name in the manifest',
  ErrImagePull: 'load the image on the nodes, or correct its name in the manifest',
  CrashLoopBackOff: "the container's program ends by itself: read its last log lines above",
  CreateContainerConfigError: 'create the ConfigMap, Secret or key that the message names',
  CreateContainerError: "read the message: the container's mounts or rights cannot be had on this host",
  RunContainerError: "read the message: the container's program cannot be started",
  FailedCreatePodSandBox:
    'the network (a CNI plugin) refused the pod: the message names the plugin; for istio-cni look at the agent on that node',
}

/** Why waiting for this pod is vain. @returns undefined while it may still become ready */
export function fatalReason(pod: Pod): string | undefined {
  const name = `pod ${pod.metadata.namespace}/${pod.metadata.name}`
  if (pod.status?.phase === 'Failed') return `${name} failed: ${pod.status.reason ?? pod.status.message ?? 'its containers ended'}`
  for (const { name: container, state, restartCount = 0 } of pod.status?.containerStatuses ?? []) {
    const reason = state?.waiting?.reason
    if (reason === 'ErrImageNeverPull' || reason === 'InvalidImageName')
      return `${name}: ${reason}: ${state?.waiting?.message ?? container}`
    if (reason === 'CrashLoopBackOff' && restartCount >= hopelessRestarts)
      return `${name}: container ${container} crashed ${restartCount} times`
  }
  return undefined
}

/** What is wrong with a pod that is not ready, in lines: state of its containers, last log lines, last events, the fix. */
export async function podTrouble(api: ApiClient, pod: Pod): Promise<string> {
  const { name, namespace } = pod.metadata
  const phase = pod.status?.phase ?? 'not accepted yet'
  const lines = [`pod ${namespace}/${name} on node ${pod.spec.nodeName ?? '(none)'}: ${phase}`]
  const reasons: string[] = []
  for (const status of pod.status?.containerStatuses ?? []) {
    const { text, reason } = stateOf(status)
    lines.push(`  container ${status.name}: ${text}`)
    if (reason) reasons.push(reason)
    if (status.ready) continue
    const log = await api
      .text('GET', `/api/v1/namespaces/${namespace}/pods/${name}/log?container=${status.name}&tailLines=${logLines}`)
      .catch(() => '')
    lines.push(
      ...log
        .split('\n')
        .filter(Boolean)
        .map((line) => `    | ${line}`),
    )
  }
  const events = await api
    .list(`/api/v1/namespaces/${namespace}/events`, `?fieldSelector=${encodeURIComponent(`involvedObject.name=${name}`)}`)
    .then((list) => list.items as (KubernetesObject & { type?: string; reason?: string; message?: string })[])
    .catch(() => [])
  for (const { type, reason, message } of events.filter((e) => e.type !== 'Normal').slice(-5)) {
    lines.push(`  event ${type} ${reason}: ${message}`)
    if (reason) reasons.push(reason)
  }
  const fix = reasons.map((reason) => fixes[reason]).find(Boolean)
  lines.push(`  fix: ${fix ?? `kubectl -n ${namespace} describe pod ${name}, and read its log`}`)
  return lines.join('\n')
}

function stateOf({ state, lastState, ready, restartCount = 0 }: ContainerStatus): { text: string; reason?: string } {
  const again = restartCount > 0 ? `, restarted ${restartCount} times` : ''
  if (state?.waiting) {
    const { reason = 'waiting', message } = state.waiting
    const ended = lastState?.terminated ? ` (ended with exit code ${lastState.terminated.exitCode})` : ''
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
