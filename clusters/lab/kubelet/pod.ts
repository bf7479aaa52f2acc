import type { V1Container, V1ContainerState, V1PodSpec } from '@kubernetes/client-node'

/** A pod as it travels over the API (times are strings). */
export interface Pod {
  apiVersion: 'v1'
  kind: 'Pod'
  metadata: {
    name: string
    namespace: string
    uid: string
    labels?: Record<string, string>
    annotations?: Record<string, string>
    deletionTimestamp?: string
    deletionGracePeriodSeconds?: number
    [key: string]: unknown
  }
  spec: V1PodSpec
  status?: PodStatus
}

export type Container = V1Container
export type Json<T> = T extends Date ? string : T extends (infer U)[] ? Json<U>[] : T extends object ? { [K in keyof T]: Json<T[K]> } : T

export interface Condition {
  type: string
  status: 'True' | 'False' | 'Unknown'
  lastProbeTime?: null
  lastTransitionTime?: string
  reason?: string
  message?: string
}

export type ContainerState = Json<V1ContainerState>

export interface ContainerStatus {
  name: string
  image: string
  imageID: string
  containerID?: string
  ready: boolean
  started: boolean
  restartCount: number
  state: ContainerState
  lastState: ContainerState
}

export interface PodStatus {
  phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed'
  conditions?: Condition[]
  hostIP?: string
  hostIPs?: { ip: string }[]
  podIP?: string
  podIPs?: { ip: string }[]
  startTime?: string
  qosClass?: string
  containerStatuses?: ContainerStatus[]
  initContainerStatuses?: ContainerStatus[]
}

/** `namespace/name`, as errors and logs call a pod. */
export function podName(pod: Pod): string {
  return `${pod.metadata.namespace}/${pod.metadata.name}`
}

/** A time of the API: seconds are its resolution. */
export function apiTime(time = new Date()): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z')
}
