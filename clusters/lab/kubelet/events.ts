import { randomBytes } from 'node:crypto'
import type { KubernetesObject } from '../../kubernetes.ts'
import { apiTime, type Pod } from './pod.ts'

export interface EventWords {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
  /** The container it is about; none: the pod. */
  readonly container?: string | undefined
}

/** An Event object about a pod, from the kubelet of `node`. */
export function podEvent(pod: Pod, node: string, { type, reason, message, container }: EventWords): KubernetesObject {
  const { name, namespace, uid } = pod.metadata
  const time = apiTime()
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${name}.${randomBytes(8).toString('hex')}`, namespace },
    involvedObject: {
      apiVersion: 'v1',
      kind: 'Pod',
      name,
      namespace,
      uid,
      ...(container ? { fieldPath: `spec.containers{${container}}` } : {}),
    },
    reason,
    message: message.slice(0, 1024),
    type,
    source: { component: 'kubelet', host: node },
    reportingComponent: 'kubelet',
    reportingInstance: node,
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  }
}
