import { badRequest } from '../errors.ts'
import { isObject } from '../json.ts'
import type { Resource } from '../resources.ts'

/** What a value must be. Fields that no shape names may be anything: nothing here reads them. */
type Shape = 'string' | 'number' | 'boolean' | 'object' | 'number or string' | { list: Shape } | { map: Shape } | { [field: string]: Shape }

const strings: Shape = { map: 'string' }
const objects: Shape = { list: 'object' }
const metadata: Shape = {
  ...{ name: 'string', generateName: 'string', namespace: 'string', uid: 'string', resourceVersion: 'string', generation: 'number' },
  ...{ creationTimestamp: 'string', deletionTimestamp: 'string', deletionGracePeriodSeconds: 'number' },
  finalizers: { list: 'string' },
  ownerReferences: {
    list: { apiVersion: 'string', kind: 'string', name: 'string', uid: 'string', controller: 'boolean', blockOwnerDeletion: 'boolean' },
  },
  managedFields: { list: { manager: 'string', operation: 'string', apiVersion: 'string', subresource: 'string', fieldsV1: 'object' } },
}
const status: Shape = { conditions: { list: { type: 'string', status: 'string', lastTransitionTime: 'string' } } }
const probe: Shape = { httpGet: 'object', tcpSocket: 'object', exec: 'object' }
const container: Shape = {
  ...{ name: 'string', image: 'string', resources: { limits: 'object', requests: 'object' }, securityContext: 'object' },
  ...{ command: { list: 'string' }, args: { list: 'string' }, imagePullPolicy: 'string' },
  ...{ livenessProbe: probe, readinessProbe: probe, startupProbe: probe },
  ports: { list: { name: 'string', containerPort: 'number', protocol: 'string', hostPort: 'number' } },
  env: { list: { name: 'string', value: 'string', valueFrom: { fieldRef: 'object', configMapKeyRef: 'object', secretKeyRef: 'object' } } },
  volumeMounts: { list: { name: 'string', mountPath: 'string', subPath: 'string', readOnly: 'boolean' } },
}
const sources: Shape = { list: { serviceAccountToken: 'object', configMap: 'object', secret: 'object', downwardAPI: 'object' } }
const requirement: Shape = { list: { key: 'string', operator: 'string', values: { list: 'string' } } }
const podSpec: Shape = {
  ...{
    nodeName: 'string',
    serviceAccountName: 'string',
    restartPolicy: 'string',
    schedulerName: 'string',
    hostname: 'string',
    subdomain: 'string',
  },
  ...{ hostNetwork: 'boolean', automountServiceAccountToken: 'boolean', terminationGracePeriodSeconds: 'number', nodeSelector: strings },
  containers: { list: container },
  initContainers: { list: container },
  volumes: {
    list: {
      name: 'string',
      configMap: 'object',
      secret: 'object',
      downwardAPI: 'object',
      hostPath: 'object',
      emptyDir: 'object',
      projected: { sources },
    },
  },
  tolerations: { list: { key: 'string', operator: 'string', value: 'string', effect: 'string', tolerationSeconds: 'number' } },
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: { list: { matchExpressions: requirement, matchFields: requirement } },
      },
    },
  },
}
const rolling: Shape = { type: 'string', rollingUpdate: { maxSurge: 'number or string', maxUnavailable: 'number or string' } }
const workload: Shape = {
  spec: {
    ...{ replicas: 'number', minReadySeconds: 'number', revisionHistoryLimit: 'number', paused: 'boolean' },
    selector: { matchLabels: strings, matchExpressions: requirement },
    template: { metadata: { ...metadata, labels: 'object', annotations: 'object' }, spec: podSpec },
    updateStrategy: rolling,
    strategy: rolling,
  },
  status,
}
const servicePort: Shape = {
  name: 'string',
  port: 'number',
  targetPort: 'number or string',
  protocol: 'string',
  appProtocol: 'string',
  nodePort: 'number',
}
const spec: Shape = { spec: 'object', status: 'object' }

const kinds: Record<string, Shape> = {
  Pod: { spec: podSpec, status: { ...status, phase: 'string', podIP: 'string', podIPs: objects } },
  DaemonSet: workload,
  Deployment: workload,
  ReplicaSet: workload,
  Service: {
    spec: {
      type: 'string',
      clusterIP: 'string',
      clusterIPs: { list: 'string' },
      selector: strings,
      ports: { list: servicePort },
      publishNotReadyAddresses: 'boolean',
    },
    status,
  },
  Node: {
    spec: { podCIDR: 'string', unschedulable: 'boolean', taints: { list: { key: 'string', value: 'string', effect: 'string' } } },
    status: { ...status, addresses: objects },
  },
  Namespace: { spec: { finalizers: { list: 'string' } }, status },
  ServiceAccount: { automountServiceAccountToken: 'boolean', secrets: objects, imagePullSecrets: objects },
  ConfigMap: { data: strings, binaryData: strings },
  Secret: { data: strings, stringData: strings, type: 'string' },
  EndpointSlice: {
    addressType: 'string',
    endpoints: { list: { addresses: { list: 'string' }, conditions: 'object', targetRef: 'object' } },
    ports: objects,
  },
  Endpoints: { subsets: { list: { addresses: objects, notReadyAddresses: objects, ports: objects } } },
}

/** Checks that values are what the kind's Go types could hold. @throws ApiError 400 that names the field */
export function checkShape(resource: Resource, object: object): void {
  const shape: Shape = { ...((resource.custom ? spec : kinds[resource.kind]) as object | undefined), metadata }
  check(object, shape, '', (path, wanted, value) => {
    const [is, version] = [JSON.stringify(value), resource.version]
    throw badRequest(
      `${resource.kind} in version "${version}" cannot be handled as a ${resource.kind}: ${path}: must be a ${wanted}, is ${is.slice(0, 60)}`,
    )
  })
}

type Fail = (path: string, wanted: string, value: unknown) => never

function check(value: unknown, shape: Shape, path: string, fail: Fail): void {
  if (value === undefined) return
  if (typeof shape === 'string') {
    const fits = shape === 'object' ? isObject(value) : shape.split(' or ').includes(typeof value)
    if (!fits) fail(path, shape, value)
  } else if ('list' in shape) {
    if (!Array.isArray(value)) fail(path, 'list', value)
    for (const [index, item] of (value as unknown[]).entries()) check(item, shape.list as Shape, `${path}[${index}]`, fail)
  } else if (!isObject(value)) fail(path, 'object', value)
  else {
    for (const [key, inner] of Object.entries(value as object)) {
      const next = 'map' in shape ? (shape.map as Shape) : Object.hasOwn(shape, key) ? (shape as Record<string, Shape>)[key] : undefined
      if (next) check(inner, next, path ? `${path}.${key}` : key, fail)
    }
  }
}

/** Go's types know no null: in built-in kinds a field that is null is one that is left out. */
export function dropNulls(value: object): void {
  for (const [key, inner] of Object.entries(value)) {
    if (inner === null && !Array.isArray(value)) delete (value as Record<string, unknown>)[key]
    else if (typeof inner === 'object' && inner !== null) dropNulls(inner)
  }
}
