import type { KubernetesObject } from '../../kubernetes.ts'

/** Shapes of the objects that the server and the controllers look into; fields that neither reads are left to the index signatures. */

export interface OwnerReference {
  apiVersion: string
  kind: string
  name: string
  uid: string
  controller?: boolean
  blockOwnerDeletion?: boolean
}

export interface ManagedFields {
  manager: string
  operation: 'Apply' | 'Update'
  apiVersion: string
  time: string
  fieldsType: 'FieldsV1'
  fieldsV1: FieldSet
  subresource?: string
}

/** FieldsV1: `f:<field>`, `k:<keys as JSON>`, `v:<value as JSON>`, `.` for the item itself. */
export interface FieldSet {
  [key: string]: FieldSet
}

export interface ObjectMeta {
  name: string
  namespace?: string
  generateName?: string
  uid?: string
  resourceVersion?: string
  generation?: number
  creationTimestamp?: string
  deletionTimestamp?: string
  deletionGracePeriodSeconds?: number
  labels?: Record<string, string>
  annotations?: Record<string, string>
  finalizers?: string[]
  ownerReferences?: OwnerReference[]
  managedFields?: ManagedFields[]
  [key: string]: unknown
}

/** Any object in the store. */
export interface KubeObject extends KubernetesObject {
  metadata: ObjectMeta
}

export interface Condition {
  type: string
  status: 'True' | 'False' | 'Unknown'
  reason?: string
  message?: string
  lastTransitionTime?: string
  [key: string]: unknown
}

export interface LabelSelector {
  matchLabels?: Record<string, string>
  matchExpressions?: { key: string; operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'; values?: string[] }[]
}

export interface ContainerPort {
  name?: string
  containerPort: number
  protocol?: string
  [key: string]: unknown
}

export interface Container {
  name: string
  image: string
  ports?: ContainerPort[]
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean; [key: string]: unknown }[]
  [key: string]: unknown
}

export interface PodSpec {
  containers: Container[]
  initContainers?: Container[]
  volumes?: { name: string; [key: string]: unknown }[]
  nodeName?: string
  nodeSelector?: Record<string, string>
  serviceAccountName?: string
  automountServiceAccountToken?: boolean
  hostNetwork?: boolean
  subdomain?: string
  hostname?: string
  restartPolicy?: string
  schedulerName?: string
  terminationGracePeriodSeconds?: number
  tolerations?: Toleration[]
  [key: string]: unknown
}

export interface Toleration {
  key?: string
  operator?: string
  value?: string
  effect?: string
  tolerationSeconds?: number
}

export interface Pod extends KubeObject {
  spec: PodSpec
  status?: {
    phase?: string
    podIP?: string
    podIPs?: { ip: string }[]
    hostIP?: string
    conditions?: Condition[]
    startTime?: string
    [key: string]: unknown
  }
}

export interface PodTemplate {
  metadata?: Partial<ObjectMeta>
  spec: PodSpec
}

export type IntOrString = number | string

export interface DaemonSet extends KubeObject {
  spec: {
    selector: LabelSelector
    template: PodTemplate
    minReadySeconds?: number
    revisionHistoryLimit?: number
    updateStrategy?: { type?: string; rollingUpdate?: { maxSurge?: IntOrString; maxUnavailable?: IntOrString } }
  }
  status?: { observedGeneration?: number; [key: string]: unknown }
}

export interface Deployment extends KubeObject {
  spec: {
    replicas?: number
    selector: LabelSelector
    template: PodTemplate
    minReadySeconds?: number
    revisionHistoryLimit?: number
    progressDeadlineSeconds?: number
    paused?: boolean
    strategy?: { type?: string; rollingUpdate?: { maxSurge?: IntOrString; maxUnavailable?: IntOrString } }
  }
  status?: { observedGeneration?: number; conditions?: Condition[]; [key: string]: unknown }
}

export interface ReplicaSet extends KubeObject {
  spec: { replicas?: number; selector: LabelSelector; template: PodTemplate; minReadySeconds?: number }
  status?: { replicas: number; readyReplicas?: number; availableReplicas?: number; observedGeneration?: number; [key: string]: unknown }
}

export interface ServicePort {
  name?: string
  port: number
  targetPort?: IntOrString
  protocol?: string
  nodePort?: number
  appProtocol?: string
}

export interface Service extends KubeObject {
  spec: {
    type?: string
    clusterIP?: string
    clusterIPs?: string[]
    selector?: Record<string, string>
    ports?: ServicePort[]
    publishNotReadyAddresses?: boolean
    [key: string]: unknown
  }
}

export interface Node extends KubeObject {
  spec?: { podCIDR?: string; unschedulable?: boolean; taints?: { key: string; value?: string; effect: string }[]; [key: string]: unknown }
  status?: { conditions?: Condition[]; addresses?: { type: string; address: string }[]; [key: string]: unknown }
}

export interface Namespace extends KubeObject {
  spec?: { finalizers?: string[] }
  status?: { phase?: string; conditions?: Condition[] }
}
