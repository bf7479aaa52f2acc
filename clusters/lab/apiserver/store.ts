import { deleteObject } from './deletion.ts'
import { ApiError, badRequest, notFound, unknownPath } from './errors.ts'
import type { JsonObject } from './json.ts'
import type { ClusterView } from './kinds/strategy.ts'
import { listPage } from './list.ts'
import { type PatchOptions, patchObject } from './patching.ts'
import { findResource, type Gvr, type Resource } from './resources.ts'
import { type ObjectMatcher, parseFieldSelector, parseLabelSelector } from './selectors.ts'
import { keyOf, Storage, type WatchEvent } from './storage.ts'
import type { KubeObject } from './types.ts'
import { createObject, updateObject } from './writes.ts'

/** An object's name; cluster-wide ones (Nodes, Namespaces, …) have no namespace. */
export interface Ref {
  readonly name: string
  readonly namespace?: string | undefined
}

/** Which objects: all of them by default. Selectors have the API's text forms, such as `app=x,!y` and `spec.nodeName=node1`. */
export interface Selection {
  readonly namespace?: string | undefined
  readonly labelSelector?: string | undefined
  readonly fieldSelector?: string | undefined
}

export interface WriteOptions {
  /** `status`: only the status is written; without it a status is left as it was. Nodes and new objects: see the kinds' strategies. */
  readonly subresource?: 'status' | 'finalize' | undefined
  /** Do everything but keep it. */
  readonly dryRun?: boolean | undefined
}

export interface DeleteOptions {
  /** Seconds a pod gets to end; 0: it is removed at once (what a kubelet says when its containers are gone). @default the pod's own */
  readonly gracePeriodSeconds?: number | undefined
  readonly preconditions?: { readonly uid?: string | undefined; readonly resourceVersion?: string | undefined } | undefined
  /** @default Background */
  readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan' | undefined
  readonly dryRun?: boolean | undefined
}

export interface StoreOptions {
  /** IPv4 CIDR of ClusterIPs. @default 10.96.0.0/16 */
  readonly serviceCidr?: string
  /** How many changes can be watched from the past. @default 5000 */
  readonly historySize?: number
}

/**
 * The cluster's state with the API's semantics (defaults, validation, conflicts, finalizers, graceful deletion, server-side apply), for code of this process.
 * Every call is synchronous and throws ApiError (`code`, `reason`, `status`). Objects that it hands out are frozen: take a `structuredClone` to change one.
 *
 * A kubelet's life with it:
 *   const stop = store.watch(resources.pods, { fieldSelector: 'spec.nodeName=node1' }, ({ type, object }) => …)   // object: Pod
 *   store.patch(resources.pods, ref, { status: { phase: 'Running' } }, { subresource: 'status' })                 // a merge patch by default
 *   // on MODIFIED with metadata.deletionTimestamp: end the containers within deletionGracePeriodSeconds, then
 *   store.delete(resources.pods, ref, { gracePeriodSeconds: 0, preconditions: { uid } })
 * Pods carry a projected volume `kube-api-access-…` (token, ca.crt, namespace), as real ones do.
 */
export class Store {
  readonly #storage: Storage
  readonly #cluster: ClusterView

  constructor(options: StoreOptions = {}) {
    this.#storage = new Storage(options.historySize ?? 5000)
    this.#cluster = {
      serviceCidr: options.serviceCidr ?? '10.96.0.0/16',
      find: (resource, ref) => this.find(resource, ref),
      all: (resource) => this.list(resource),
    }
  }

  /** resourceVersion of the last write. */
  get resourceVersion(): string {
    return String(this.#storage.version)
  }

  /** @returns undefined when there is none */
  find<T extends KubeObject>(gvr: Gvr<T>, ref: Ref): T | undefined {
    const resource = servedResource(gvr)
    return this.#storage.get(resource, keyIn(resource, ref)) as T | undefined
  }

  /** @throws ApiError 404 */
  get<T extends KubeObject>(gvr: Gvr<T>, ref: Ref): T {
    const found = this.find(gvr, ref)
    if (!found) throw notFound(gvr, ref.name)
    return found
  }

  /** All objects of the selection, sorted by namespace and name. */
  list<T extends KubeObject>(gvr: Gvr<T>, selection: Selection = {}): T[] {
    return this.listPage(gvr, selection).items
  }

  /** A list as the API gives it: in pages (`limit`, `continue`), at a resourceVersion. @throws ApiError 410 when that version is gone */
  listPage<T extends KubeObject>(gvr: Gvr<T>, selection: Selection & PageOptions = {}): Page<T> {
    const resource = servedResource(gvr)
    return listPage(this.#storage, resource, matcher(resource, selection), selection) as Page<T>
  }

  /**
   * Tells about every object of the selection: `ADDED` for each that exists, before this returns, then each change in order, before the write that made it
   * returns (or, for a write made inside a callback, right after that callback). What leaves the selection is `DELETED`.
   * @param selection `resourceVersion`: instead of what exists, the changes after that version (ApiError 410 when they are forgotten)
   * @param onEvent an error thrown here ends the process, as an unhandled one
   * @returns stops it
   */
  watch<T extends KubeObject>(
    gvr: Gvr<T>,
    selection: Selection & { readonly resourceVersion?: string | undefined },
    onEvent: (event: WatchEvent<T>) => void,
  ): () => void {
    const resource = servedResource(gvr)
    const { resourceVersion } = selection
    const since =
      resourceVersion === undefined || resourceVersion === '' || resourceVersion === '0' ? undefined : parseVersion(resourceVersion)
    return this.#storage.watch(resource, matcher(resource, selection), since, onEvent as (event: WatchEvent) => void)
  }

  /** `metadata.generateName` works. @throws ApiError 409 AlreadyExists, 422 Invalid, 403, 404 (no such namespace) */
  create<T extends KubeObject>(gvr: Gvr<T>, object: Draft<T>, options: WriteOptions = {}): T {
    return createObject(this.#storage, this.#cluster, servedResource(gvr), object as unknown as JsonObject, options) as T
  }

  /** Replaces an object. With metadata.resourceVersion only if that is still the current one. @throws ApiError 404, 409 Conflict, 422 */
  update<T extends KubeObject>(gvr: Gvr<T>, object: Draft<T>, options: WriteOptions = {}): T {
    return updateObject(this.#storage, this.#cluster, servedResource(gvr), object as unknown as JsonObject, options) as T
  }

  /**
   * Changes parts of an object.
   * @param patch a merge patch by default; `options.type` says otherwise (`strategic`, `json`, `apply`)
   */
  patch<T extends KubeObject>(gvr: Gvr<T>, ref: Ref, patch: unknown, options: PatchOptions & WriteOptions = {}): T {
    return patchObject(this.#storage, this.#cluster, servedResource(gvr), ref, patch, options) as T
  }

  /** Server-side apply: creates the object or merges it, and removes what this manager applied before and no longer does. */
  apply<T extends KubeObject>(gvr: Gvr<T>, object: Draft<T>, options: { fieldManager: string; force?: boolean; dryRun?: boolean }): T {
    const { name = '', namespace } = object.metadata
    return this.patch(gvr, { name, namespace }, object, { ...options, type: 'apply' })
  }

  /**
   * Deletes an object, or marks it as being deleted while finalizers or its kubelet hold it.
   * @returns the object, and whether it is gone
   * @throws ApiError 404, 409 when a precondition fails
   */
  delete<T extends KubeObject>(gvr: Gvr<T>, ref: Ref, options: DeleteOptions = {}): { object: T; gone: boolean } {
    return deleteObject(this.#storage, servedResource(gvr), ref, options) as { object: T; gone: boolean }
  }
}

/** An object on its way in: what the server gives it may be missing. */
export type Draft<T extends KubeObject> = Omit<T, 'metadata' | 'apiVersion' | 'kind'> & {
  apiVersion?: string
  kind?: string
  metadata: Partial<T['metadata']>
  [key: string]: unknown
}

export interface PageOptions {
  readonly limit?: number | undefined
  readonly continue?: string | undefined
  readonly resourceVersion?: string | undefined
  readonly resourceVersionMatch?: string | undefined
}

export interface Page<T extends KubeObject = KubeObject> {
  readonly items: T[]
  readonly resourceVersion: string
  readonly continue?: string
  readonly remainingItemCount?: number
}

function servedResource(gvr: Gvr): Resource {
  const resource = findResource(gvr)
  if (!resource) throw unknownPath()
  return resource
}

function keyIn(resource: Resource, { name, namespace }: Ref): string {
  if (resource.namespaced && !namespace) throw badRequest(`${resource.resource} ${JSON.stringify(name)}: a namespace is required`)
  return keyOf({ metadata: { name, ...(resource.namespaced && namespace && { namespace }) } })
}

function matcher(resource: Resource, { namespace, labelSelector, fieldSelector }: Selection): ObjectMatcher {
  const labels = labelSelector ? parseLabelSelector(labelSelector) : undefined
  const fields = fieldSelector ? parseFieldSelector(fieldSelector, resource.kind) : undefined
  return (object) =>
    (!namespace || object.metadata.namespace === namespace) && (!labels || labels(object.metadata.labels)) && (!fields || fields(object))
}

/** @throws ApiError 400 */
export function parseVersion(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`invalid resource version ${JSON.stringify(text)}: must be an unsigned integer`)
  return Number(text)
}

export { type Resource, resources } from './resources.ts'
export type { WatchEvent } from './storage.ts'
export { ApiError }
