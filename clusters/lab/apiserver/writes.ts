import { randomUUID } from 'node:crypto'
import {
  alreadyExists,
  badRequest,
  conflict,
  type FieldProblem,
  forbidden,
  invalid,
  invalidValue,
  modified,
  notFound,
  required,
} from './errors.ts'
import { copy, equal, isObject, type JsonObject } from './json.ts'
import { checkShape, dropNulls } from './kinds/shape.ts'
import { type ClusterView, strategyOf } from './kinds/strategy.ts'
import { generateName, validateAnnotations, validateLabels, validateName } from './names.ts'
import { apiVersionOf, type Resource, resources } from './resources.ts'
import { keyOf, type Storage } from './storage.ts'
import type { WriteOptions } from './store.ts'
import type { KubeObject } from './types.ts'

/** RFC 3339 in whole seconds, as metav1.Time. */
export const timestamp = (at = Date.now()) => new Date(at).toISOString().replace(/\.\d+Z$/, 'Z')

export function createObject(
  storage: Storage,
  cluster: ClusterView,
  resource: Resource,
  input: JsonObject,
  options: WriteOptions,
): KubeObject {
  const draft = incoming(resource, input)
  const { metadata } = draft
  if (metadata.resourceVersion) throw badRequest('resourceVersion should not be set on objects to be created')
  if (resource.namespaced) admitToNamespace(cluster, resource, draft)
  if (!metadata.name && metadata.generateName) {
    do metadata.name = generateName(metadata.generateName)
    while (storage.get(resource, keyOf(draft)))
  }
  const strategy = strategyOf(resource)
  draft.metadata = order({ ...metadata, uid: randomUUID(), creationTimestamp: timestamp(), ...(strategy.generation && { generation: 1 }) })
  for (const key of ['deletionTimestamp', 'deletionGracePeriodSeconds', 'selfLink']) delete draft.metadata[key]
  if (resource.status && !strategy.statusOnCreate) delete draft.status
  if (draft.metadata.name) strategy.create?.(draft, cluster)
  check(resource, draft, [...validateMetadata(resource, draft), ...(strategy.validate?.(draft, undefined) ?? [])])
  if (storage.get(resource, keyOf(draft))) throw alreadyExists(resource, draft.metadata.name)
  return options.dryRun ? draft : storage.write(resource, keyOf(draft), copy(draft))
}

export function updateObject(
  storage: Storage,
  cluster: ClusterView,
  resource: Resource,
  input: JsonObject,
  options: WriteOptions,
): KubeObject {
  const sent = incoming(resource, input)
  const key = keyOf(sent)
  const { name, resourceVersion, uid } = sent.metadata
  const old = storage.get(resource, key)
  if (!old) throw notFound(resource, name)
  if (uid && uid !== old.metadata.uid) {
    throw conflict(resource, name, `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid}`)
  }
  if (resourceVersion && resourceVersion !== old.metadata.resourceVersion) throw conflict(resource, name, modified)
  if (!resourceVersion && resource.custom) {
    throw invalid(resource, name, [invalidValue('metadata.resourceVersion', '0x0', 'must be specified for an update')])
  }
  const strategy = strategyOf(resource)
  const draft = copy(merged(resource, sent, old, options.subresource))
  if (!options.subresource) strategy.update?.(draft, copy(old), cluster)
  const problems = [...validateMetadata(resource, draft), ...(strategy.validate?.(draft, old) ?? []), ...validateFinalizers(draft, old)]
  check(resource, draft, problems)
  if (strategy.generation && !equal(content(draft), content(old))) draft.metadata.generation = (old.metadata.generation ?? 0) + 1
  if (equal(withoutTimes(draft), withoutTimes(old))) return old
  if (options.dryRun) return draft
  if (isReleased(resource, draft)) {
    storage.write(resource, key, undefined)
    return draft
  }
  return storage.write(resource, key, draft)
}

/** An object that is being deleted and that nothing holds any longer. */
export function isReleased(resource: Resource, object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers = [] } = object.metadata
  if (!deletionTimestamp || finalizers.length > 0) return false
  if (resource === resources.namespaces) return ((object.spec as { finalizers?: string[] }).finalizers ?? []).length === 0
  return !deletionGracePeriodSeconds
}

/** A copy of the input with apiVersion and kind, and metadata that is an object. @throws ApiError 400 */
function incoming(resource: Resource, input: JsonObject): KubeObject {
  const [apiVersion, kind] = [input.apiVersion ?? apiVersionOf(resource), input.kind ?? resource.kind]
  if (apiVersion !== apiVersionOf(resource) || kind !== resource.kind) {
    throw badRequest(
      `the object provided is ${apiVersion} ${kind}, but the resource ${resource.resource} takes ${apiVersionOf(resource)} ${resource.kind}`,
    )
  }
  if (!isObject(input.metadata)) throw badRequest(`${kind}: metadata must be an object with a name`)
  const { metadata, ...rest } = copy(input)
  const draft = { apiVersion, kind, metadata, ...rest } as unknown as KubeObject
  if (!resource.namespaced) delete draft.metadata.namespace
  if (!resource.custom) dropNulls(draft)
  checkShape(resource, draft)
  wholeSeconds(draft)
  return draft
}

const times = new Set([
  ...['creationTimestamp', 'deletionTimestamp', 'lastTransitionTime', 'lastUpdateTime', 'lastProbeTime', 'lastHeartbeatTime', 'time'],
  ...['startedAt', 'finishedAt', 'startTime', 'firstTimestamp', 'lastTimestamp'],
])

/** Times as metav1.Time has them. Clients that read times into dates send them back with milliseconds, which is no change. */
function wholeSeconds(value: object): void {
  for (const [key, inner] of Object.entries(value)) {
    if (typeof inner === 'object' && inner !== null) wholeSeconds(inner)
    else if (times.has(key) && typeof inner === 'string') (value as Record<string, unknown>)[key] = inner.replace(/\.\d+Z$/, 'Z')
  }
}

function admitToNamespace(cluster: ClusterView, resource: Resource, { metadata }: KubeObject): void {
  if (!metadata.namespace) throw badRequest(`${resource.resource} ${JSON.stringify(metadata.name ?? '')}: a namespace is required`)
  const namespace = cluster.find(resources.namespaces, { name: metadata.namespace })
  if (!namespace) throw notFound(resources.namespaces, metadata.namespace)
  if (!namespace.metadata.deletionTimestamp) return
  const message = `unable to create new content in namespace ${metadata.namespace} because it is being terminated`
  const cause = {
    reason: 'NamespaceTerminating',
    message: `namespace ${metadata.namespace} is being terminated`,
    field: 'metadata.namespace',
  }
  throw forbidden(resource, metadata.name, message, [cause])
}

/** What the server keeps of the old object, and what it takes of the one that was sent. */
function merged(resource: Resource, sent: KubeObject, old: KubeObject, subresource: WriteOptions['subresource']): KubeObject {
  if (subresource === 'finalize') return { ...old, spec: sent.spec }
  if (subresource === 'status') {
    const metadata = { ...old.metadata }
    for (const key of strategyOf(resource).metadataWithStatus ? (['labels', 'annotations'] as const) : []) {
      if (sent.metadata[key]) metadata[key] = sent.metadata[key]
      else delete metadata[key]
    }
    if (sent.metadata.managedFields) metadata.managedFields = sent.metadata.managedFields
    return { ...old, metadata, ...(sent.status !== undefined && { status: sent.status }) }
  }
  const metadata: KubeObject['metadata'] = { ...sent.metadata }
  for (const key of [
    'uid',
    'resourceVersion',
    'generation',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'generateName',
  ]) {
    if (old.metadata[key] === undefined) delete metadata[key]
    else metadata[key] = old.metadata[key]
  }
  if (!metadata.managedFields && old.metadata.managedFields) metadata.managedFields = old.metadata.managedFields
  const next: KubeObject = { ...sent, metadata: order(metadata) }
  if (!resource.status) return next
  delete next.status
  return old.status === undefined ? next : { ...next, status: old.status }
}

function validateMetadata(resource: Resource, { metadata }: KubeObject): FieldProblem[] {
  const { name, labels, annotations, ownerReferences } = metadata
  const owners = Array.isArray(ownerReferences) ? ownerReferences : []
  return [
    ...(name ? validateName(name, resource.names) : [required('metadata.name', 'name or generateName is required')]),
    ...validateLabels(labels, 'metadata.labels'),
    ...validateAnnotations(annotations, 'metadata.annotations'),
    ...owners.flatMap((owner, index) =>
      (['apiVersion', 'kind', 'name', 'uid'] as const)
        .filter((key) => !owner[key])
        .map((key) => required(`metadata.ownerReferences[${index}].${key}`)),
    ),
  ]
}

function validateFinalizers({ metadata }: KubeObject, old: KubeObject): FieldProblem[] {
  if (!old.metadata.deletionTimestamp) return []
  const added = (metadata.finalizers ?? []).filter((finalizer) => !old.metadata.finalizers?.includes(finalizer))
  if (added.length === 0) return []
  const message = `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`
  return [{ field: 'metadata.finalizers', reason: 'FieldValueForbidden', message }]
}

function check(resource: Resource, draft: KubeObject, problems: readonly FieldProblem[]): void {
  if (problems.length > 0) throw invalid(resource, draft.metadata.name ?? '', problems)
}

function content(object: KubeObject) {
  const { metadata: _metadata, status: _status, ...rest } = object
  return rest
}

/** For telling whether a write changes anything: managedFields' times don't count. */
function withoutTimes(object: KubeObject): KubeObject {
  const { managedFields } = object.metadata
  if (!managedFields) return object
  return { ...object, metadata: { ...object.metadata, managedFields: managedFields.map((entry) => ({ ...entry, time: '' })) } }
}

/** metadata with its keys where readers expect them. */
function order(metadata: KubeObject['metadata']): KubeObject['metadata'] {
  const { name, generateName: base, namespace, uid, resourceVersion, generation, creationTimestamp, ...rest } = metadata
  return copy({
    name,
    generateName: base,
    namespace,
    uid,
    resourceVersion,
    generation,
    creationTimestamp,
    ...rest,
  }) as KubeObject['metadata']
}
