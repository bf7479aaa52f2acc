import { ApiError, badRequest, invalid, notFound, required, unsupportedMediaType } from './errors.ts'
import { copy, isObject, type Json, type JsonObject } from './json.ts'
import type { ClusterView } from './kinds/strategy.ts'
import { applyConfig, type Owner } from './patch/apply.ts'
import { jsonPatch } from './patch/json-patch.ts'
import { mergePatch } from './patch/merge.ts'
import { schemaOf } from './patch/schema.ts'
import { strategicMergePatch } from './patch/strategic.ts'
import { apiVersionOf, type Resource } from './resources.ts'
import { keyOf, type Storage } from './storage.ts'
import type { Ref, WriteOptions } from './store.ts'
import type { KubeObject, ManagedFields } from './types.ts'
import { createObject, timestamp, updateObject } from './writes.ts'

export interface PatchOptions {
  /** @default merge */
  readonly type?: 'merge' | 'strategic' | 'json' | 'apply' | undefined
  /** Who applies; required for `apply`. */
  readonly fieldManager?: string | undefined
  /** `apply`: take fields that others applied with other values, instead of 409. */
  readonly force?: boolean | undefined
}

export function patchObject(
  storage: Storage,
  cluster: ClusterView,
  resource: Resource,
  ref: Ref,
  patch: unknown,
  options: PatchOptions & WriteOptions,
): KubeObject {
  const key = keyOf({ metadata: { name: ref.name, ...(resource.namespaced && ref.namespace && { namespace: ref.namespace }) } })
  const old = storage.get(resource, key)
  const change = copy(patch) as Json
  if (options.type === 'apply') return apply(storage, cluster, resource, ref, old, change, options)
  if (!old) throw notFound(resource, ref.name)
  const next = patched(resource, old as unknown as JsonObject, change, options.type ?? 'merge')
  keepIdentity(next, old)
  return updateObject(storage, cluster, resource, next, options)
}

function patched(resource: Resource, old: JsonObject, patch: Json, type: 'merge' | 'strategic' | 'json'): JsonObject {
  if (type === 'strategic' && resource.custom) {
    throw unsupportedMediaType(
      'the body of the request was in an unknown format - strategic merge patch is not supported for custom resources',
    )
  }
  if (type !== 'json' && !isObject(patch)) throw badRequest('the patch must be an object')
  const next =
    type === 'json'
      ? jsonPatch(old, patch)
      : type === 'merge'
        ? mergePatch(old, patch)
        : strategicMergePatch(old, patch as JsonObject, schemaOf(resource.kind, false))
  if (!isObject(next) || !isObject(next.metadata)) throw badRequest('the patch leaves no object with metadata')
  return next
}

function keepIdentity({ metadata }: JsonObject, old: KubeObject): void {
  const { name, namespace } = metadata as { name?: string; namespace?: string }
  if (name !== old.metadata.name || namespace !== old.metadata.namespace) {
    const [sent, url] = [name, old.metadata.name]
    throw badRequest(
      `a patch cannot change name or namespace: the object would be ${namespace ?? ''}/${sent}, the URL says ${old.metadata.namespace ?? ''}/${url}`,
    )
  }
}

function apply(
  storage: Storage,
  cluster: ClusterView,
  resource: Resource,
  ref: Ref,
  old: KubeObject | undefined,
  config: Json,
  options: PatchOptions & WriteOptions,
): KubeObject {
  const { fieldManager: manager, subresource } = options
  if (!manager) throw invalid({ kind: 'PatchOptions', group: 'meta.k8s.io' }, '', [required('fieldManager', 'is required for apply patch')])
  if (!isObject(config)) throw badRequest('an apply configuration must be an object')
  const metadata = checkConfig(resource, ref, config)
  const entries = old?.metadata.managedFields ?? []
  const isOwn = (entry: ManagedFields) => entry.manager === manager && entry.operation === 'Apply' && entry.subresource === subresource
  const foreign = entries.filter((entry) => entry.operation === 'Apply' && !isOwn(entry))
  const others: Owner[] = foreign.map((entry) => ({ manager: entry.manager, fields: entry.fieldsV1 }))
  const before = entries.find(isOwn)?.fieldsV1 ?? {}
  const live = (old ?? { apiVersion: apiVersionOf(resource), kind: resource.kind, metadata: {} }) as unknown as JsonObject
  const named = {
    ...config,
    metadata: { ...metadata, name: ref.name, ...(ref.namespace && resource.namespaced && { namespace: ref.namespace }) },
  }
  const result = applyConfig(live, named, schemaOf(resource.kind, resource.custom), before, others, options.force === true)
  if (result.conflicts.length > 0) throw applyConflict(resource, ref.name, result.conflicts)
  const own: ManagedFields = {
    manager,
    operation: 'Apply',
    apiVersion: apiVersionOf(resource),
    time: timestamp(),
    fieldsType: 'FieldsV1',
    fieldsV1: result.fields,
    ...(subresource && { subresource }),
  }
  const kept = foreign.map((entry, index) => ({ ...entry, fieldsV1: result.others[index]!.fields }))
  const next = {
    ...result.object,
    metadata: { ...(result.object.metadata as JsonObject), managedFields: [...kept, own] as unknown as Json },
  }
  if (old) return updateObject(storage, cluster, resource, next, options)
  if (metadata.uid || metadata.resourceVersion) throw notFound(resource, ref.name)
  if (subresource) throw notFound(resource, ref.name)
  return createObject(storage, cluster, resource, next, options)
}

function checkConfig(resource: Resource, ref: Ref, config: JsonObject): JsonObject {
  const { apiVersion, kind, metadata = {} } = config
  if (apiVersion !== apiVersionOf(resource) || kind !== resource.kind) {
    throw badRequest(
      `an apply configuration for ${resource.resource} must say apiVersion: ${apiVersionOf(resource)} and kind: ${resource.kind}`,
    )
  }
  if (!isObject(metadata)) throw badRequest('metadata must be an object')
  if (metadata.managedFields) throw badRequest('metadata.managedFields must be nil')
  if (metadata.name !== undefined && metadata.name !== ref.name) {
    throw badRequest(`name in URL does not match name in the object: ${JSON.stringify(metadata.name)} is not ${JSON.stringify(ref.name)}`)
  }
  if (metadata.namespace !== undefined && resource.namespaced && metadata.namespace !== ref.namespace) {
    throw badRequest(
      `namespace in URL does not match namespace in the object: ${JSON.stringify(metadata.namespace)} is not ${JSON.stringify(ref.namespace)}`,
    )
  }
  return metadata
}

function applyConflict(
  { group, resource }: Resource,
  name: string,
  causes: NonNullable<NonNullable<ApiError['status']['details']>['causes']>,
) {
  const told = causes.map((cause) => `${cause.message}: ${cause.field}`).join('\n- ')
  const message = `Apply failed with ${causes.length} conflict${causes.length === 1 ? '' : 's'}: ${causes.length === 1 ? '' : '\n- '}${told}`
  return new ApiError(409, 'Conflict', message, { name, kind: resource, ...(group && { group }), causes })
}
