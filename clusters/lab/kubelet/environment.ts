import type { V1EnvVar } from '@kubernetes/client-node'
import type { KubeletApi } from './api.ts'
import { fieldValue, type PodFacts, resourceValue } from './fields.ts'
import type { Container } from './pod.ts'

/** Something that the pod refers to is not there (yet): the kubelet tries again. */
export class MissingReference extends Error {
  override name = 'MissingReference'
}

/**
 * A container's environment: its own variables over those of envFrom, `$(NAME)` expanded with the variables before.
 * @param base what every container of the node has
 * @throws MissingReference for a ConfigMap, Secret or key that is not there and not optional
 */
export function environment(
  container: Container,
  facts: PodFacts,
  api: Pick<KubeletApi, 'configMap' | 'secret'>,
  base: Readonly<Record<string, string>>,
): Record<string, string> {
  const result: Record<string, string> = { ...base }
  const { namespace } = facts.pod.metadata
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const data = configMapRef
      ? api.configMap(namespace, configMapRef.name ?? '')?.data
      : decoded(api.secret(namespace, secretRef?.name ?? '')?.data)
    const reference = configMapRef ?? secretRef
    if (!data && !reference?.optional) throw missing(configMapRef ? 'ConfigMap' : 'Secret', namespace, reference?.name)
    for (const [key, value] of Object.entries(data ?? {})) result[prefix + key] = value
  }
  for (const variable of container.env ?? []) {
    const value = variable.valueFrom ? valueFrom(variable, container, facts, api) : expand(variable.value ?? '', result)
    if (value !== undefined) result[variable.name] = value
  }
  return result
}

/** `$(NAME)` becomes the variable's value, if there is one; `$$(NAME)` becomes `$(NAME)`. */
export function expand(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (whole, name?: string) => {
    if (whole === '$$') return '$'
    return variables[name ?? ''] ?? whole
  })
}

function valueFrom(
  variable: V1EnvVar,
  container: Container,
  facts: PodFacts,
  api: Pick<KubeletApi, 'configMap' | 'secret'>,
): string | undefined {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = variable.valueFrom ?? {}
  if (fieldRef) return fieldValue(facts, fieldRef)
  if (resourceFieldRef) return resourceValue(facts.pod, container.name, resourceFieldRef)
  const { namespace } = facts.pod.metadata
  const reference = configMapKeyRef ?? secretKeyRef
  if (!reference) throw new Error(`environment variable ${variable.name}: valueFrom names no source that the kubelet knows`)
  const name = reference.name ?? ''
  const data = configMapKeyRef ? api.configMap(namespace, name)?.data : decoded(api.secret(namespace, name)?.data)
  const value = data?.[reference.key]
  if (value === undefined && !reference.optional)
    throw missing(configMapKeyRef ? 'ConfigMap' : 'Secret', namespace, name, data && reference.key)
  return value
}

function missing(kind: string, namespace: string, name = '', key?: string): MissingReference {
  return new MissingReference(
    key === undefined
      ? `${kind.toLowerCase()} ${JSON.stringify(name)} not found in namespace ${namespace}`
      : `couldn't find key ${key} in ${kind} ${namespace}/${name}`,
  )
}

function decoded(data: Readonly<Record<string, string>> | undefined): Record<string, string> | undefined {
  return data && Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]))
}
