import type { V1ObjectFieldSelector, V1ResourceFieldSelector } from '@kubernetes/client-node'
import type { Pod } from './pod.ts'

/** What the downward API knows of a pod besides the object. */
export interface PodFacts {
  readonly pod: Pod
  readonly hostIP: string
  readonly podIPs: readonly string[]
}

/** The value of a fieldRef. @throws Error that names the field, if there is no such */
export function fieldValue({ pod, hostIP, podIPs }: PodFacts, { fieldPath }: V1ObjectFieldSelector): string {
  const { metadata, spec } = pod
  const [, kind, key] = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(fieldPath) ?? []
  if (kind !== undefined && key !== undefined) return metadata[kind as 'labels' | 'annotations']?.[key] ?? ''
  const fields: Readonly<Record<string, () => string>> = {
    'metadata.name': () => metadata.name,
    'metadata.namespace': () => metadata.namespace,
    'metadata.uid': () => metadata.uid,
    'metadata.labels': () => lines(metadata.labels),
    'metadata.annotations': () => lines(metadata.annotations),
    'spec.nodeName': () => spec.nodeName ?? '',
    'spec.serviceAccountName': () => spec.serviceAccountName ?? 'default',
    'status.hostIP': () => hostIP,
    'status.hostIPs': () => hostIP,
    'status.podIP': () => podIPs[0] ?? '',
    'status.podIPs': () => podIPs.join(','),
  }
  const value = fields[fieldPath]
  if (!value) throw new Error(`fieldRef ${JSON.stringify(fieldPath)} is not supported; use one of ${Object.keys(fields).join(', ')}`)
  return value()
}

/** The value of a resourceFieldRef; a limit that is not set counts as what a node of the lab says it has. */
export function resourceValue(
  pod: Pod,
  container: string | undefined,
  { resource, divisor, containerName }: V1ResourceFieldSelector,
): string {
  const name = containerName ?? container
  const resources = [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])].find((c) => c.name === name)?.resources
  const [kind, what] = resource.split('.') as ['limits' | 'requests', string]
  const amount = resources?.[kind]?.[what] ?? (kind === 'limits' ? resources?.requests?.[what] : undefined) ?? nodeResources[what] ?? '0'
  return String(Math.ceil(quantity(amount) / quantity(divisor && divisor !== '0' ? divisor : '1')))
}

/** What a node of the lab says it has. */
export const nodeResources: Readonly<Record<string, string>> = { cpu: '2', memory: '4Gi', 'ephemeral-storage': '10Gi', pods: '110' }

/** A Kubernetes quantity as a number (`500m`, `1Gi`, `2k`). */
function quantity(text: string): number {
  const [, number = '0', suffix = ''] = /^([\d.]+)(\w*)$/.exec(text) ?? []
  const powers: Readonly<Record<string, number>> = {
    m: 1e-3,
    k: 1e3,
    M: 1e6,
    G: 1e9,
    T: 1e12,
    Ki: 2 ** 10,
    Mi: 2 ** 20,
    Gi: 2 ** 30,
    Ti: 2 ** 40,
  }
  return Number(number) * (powers[suffix] ?? 1)
}

/** Labels or annotations in the downward API's file format. */
function lines(map: Readonly<Record<string, string>> = {}): string {
  return Object.entries(map)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n')
}
