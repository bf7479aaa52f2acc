import { duplicate, type FieldProblem, invalidValue, required, unsupportedValue } from '../errors.ts'
import type { Container, PodSpec } from '../types.ts'

/** What the API server fills into a pod's spec, here and in templates (k8s.io/kubernetes pkg/apis/core/v1/defaults.go). */
export function defaultPodSpec(spec: PodSpec): void {
  spec.restartPolicy ??= 'Always'
  spec.terminationGracePeriodSeconds ??= 30
  spec.dnsPolicy ??= 'ClusterFirst'
  spec.securityContext ??= {}
  spec.schedulerName ??= 'default-scheduler'
  if (spec.serviceAccountName) spec.serviceAccount ??= spec.serviceAccountName
  for (const container of [...list(spec.initContainers), ...list(spec.containers)]) defaultContainer(container, spec.hostNetwork === true)
  for (const volume of list(spec.volumes)) defaultVolume(volume)
}

function defaultContainer(container: Container, hostNetwork: boolean): void {
  container.imagePullPolicy ??= /(:latest|^[^:@]*|\/[^:@]*)$/.test(String(container.image)) ? 'Always' : 'IfNotPresent'
  container.resources ??= {}
  container.terminationMessagePath ??= '/dev/termination-log'
  container.terminationMessagePolicy ??= 'File'
  for (const port of list(container.ports)) {
    port.protocol ??= 'TCP'
    if (hostNetwork) port.hostPort ??= port.containerPort
  }
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    const probe = container[name] as Record<string, unknown> | undefined
    if (!probe) continue
    const http = probe.httpGet as Record<string, unknown> | undefined
    if (http) {
      http.scheme ??= 'HTTP'
      http.path ??= '/'
    }
    probe.timeoutSeconds ??= 1
    probe.periodSeconds ??= 10
    probe.successThreshold ??= 1
    probe.failureThreshold ??= 3
  }
  for (const env of list(container.env as { valueFrom?: { fieldRef?: { apiVersion?: string } } }[] | undefined)) {
    if (env.valueFrom?.fieldRef) env.valueFrom.fieldRef.apiVersion ??= 'v1'
  }
}

function defaultVolume(volume: Record<string, unknown>): void {
  for (const source of ['configMap', 'secret', 'projected', 'downwardAPI']) {
    const content = volume[source] as Record<string, unknown> | undefined
    if (content) content.defaultMode ??= 0o644
  }
  const hostPath = volume.hostPath as Record<string, unknown> | undefined
  if (hostPath) hostPath.type ??= ''
  const projected = volume.projected as { sources?: { serviceAccountToken?: Record<string, unknown> }[] } | undefined
  for (const { serviceAccountToken } of list(projected?.sources)) if (serviceAccountToken) serviceAccountToken.expirationSeconds ??= 3600
}

/** @param path where the spec is, such as `spec` or `spec.template.spec` */
export function validatePodSpec(spec: PodSpec | undefined, path: string): FieldProblem[] {
  if (typeof spec !== 'object' || spec === null) return [required(path)]
  const problems: FieldProblem[] = []
  if (list(spec.containers).length === 0) problems.push(required(`${path}.containers`))
  if (spec.restartPolicy !== undefined && !['Always', 'OnFailure', 'Never'].includes(spec.restartPolicy)) {
    problems.push(unsupportedValue(`${path}.restartPolicy`, spec.restartPolicy, ['Always', 'OnFailure', 'Never']))
  }
  const volumes = new Set<string>()
  for (const [index, volume] of list(spec.volumes).entries()) {
    if (!volume.name) problems.push(required(`${path}.volumes[${index}].name`))
    else if (volumes.has(volume.name)) problems.push(duplicate(`${path}.volumes[${index}].name`, volume.name))
    volumes.add(volume.name)
  }
  const names = new Set<string>()
  for (const kind of ['initContainers', 'containers'] as const) {
    for (const [index, container] of list(spec[kind]).entries()) {
      problems.push(...validateContainer(container, `${path}.${kind}[${index}]`, names, volumes))
    }
  }
  return problems
}

function validateContainer(container: Container, path: string, names: Set<string>, volumes: ReadonlySet<string>): FieldProblem[] {
  const problems: FieldProblem[] = []
  const { name, image } = container
  if (!name) problems.push(required(`${path}.name`))
  else if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) problems.push(invalidValue(`${path}.name`, name, 'must be a DNS label'))
  else if (names.has(name)) problems.push(duplicate(`${path}.name`, name))
  names.add(name)
  if (!image) problems.push(required(`${path}.image`))
  for (const [index, port] of list(container.ports).entries()) {
    const at = `${path}.ports[${index}]`
    const { containerPort, protocol = 'TCP' } = port
    if (!containerPort) problems.push(required(`${at}.containerPort`))
    else if (!(containerPort > 0 && containerPort < 65536)) {
      problems.push(invalidValue(`${at}.containerPort`, containerPort, 'must be between 1 and 65535, inclusive'))
    }
    if (!['TCP', 'UDP', 'SCTP'].includes(protocol)) problems.push(unsupportedValue(`${at}.protocol`, protocol, ['SCTP', 'TCP', 'UDP']))
  }
  for (const [index, mount] of list(container.volumeMounts).entries()) {
    const at = `${path}.volumeMounts[${index}]`
    if (!mount.mountPath) problems.push(required(`${at}.mountPath`))
    if (!volumes.has(mount.name))
      problems.push({ field: `${at}.name`, reason: 'FieldValueNotFound', message: `Not found: ${JSON.stringify(mount.name)}` })
  }
  return problems
}

export function list<T>(value: T[] | null | undefined): T[] {
  return Array.isArray(value) ? value : []
}
