import { expired } from './errors.ts'
import { deepFreeze } from './json.ts'
import type { Resource } from './resources.ts'
import type { ObjectMatcher } from './selectors.ts'
import type { KubeObject } from './types.ts'

export interface WatchEvent<T extends KubeObject = KubeObject> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly object: T
}

/** One write: the global resourceVersion it got, the object before and after. */
interface Change {
  readonly version: number
  readonly resource: Resource
  readonly previous?: KubeObject
  readonly object?: KubeObject
}

interface Watcher {
  readonly resource: Resource
  readonly matches: ObjectMatcher
  readonly onEvent: (event: WatchEvent) => void
  /** Last version that was delivered or included in the initial state. */
  version: number
  stopped: boolean
}

/**
 * Objects by resource, the global resourceVersion, a bounded history of changes, and the watchers. Knows nothing of what objects mean.
 * Objects that went in are frozen. Watchers hear every change in order, each before the write that caused it returns, unless that write was made
 * inside a watcher's callback: then right after that callback, so that nobody sees changes out of order.
 */
export class Storage {
  #version = 1
  #compacted = 0
  readonly #historySize: number
  readonly #objects = new Map<Resource, Map<string, KubeObject>>()
  #history: Change[] = []
  readonly #watchers = new Set<Watcher>()
  #pending: Change[] = []
  #delivering = false

  /** @param historySize how many changes can be watched from the past; older versions are answered with 410 Expired */
  constructor(historySize: number) {
    this.#historySize = historySize
  }

  /** The version of the last write. */
  get version(): number {
    return this.#version
  }

  get(resource: Resource, key: string): KubeObject | undefined {
    return this.#objects.get(resource)?.get(key)
  }

  /** All objects of a resource, sorted by key as etcd does. */
  all(resource: Resource): [key: string, object: KubeObject][] {
    return sorted(this.#objects.get(resource) ?? new Map())
  }

  /** @throws ApiError 410 when `version` is older than the history */
  allAt(resource: Resource, version: number): [key: string, object: KubeObject][] {
    if (version >= this.#version) return this.all(resource)
    this.#checkHistory(version)
    const state = new Map(this.#objects.get(resource))
    for (let i = this.#history.length - 1; i >= 0 && this.#history[i]!.version > version; i--) {
      const change = this.#history[i]!
      if (change.resource !== resource) continue
      if (change.previous) state.set(keyOf(change.previous), change.previous)
      else state.delete(keyOf(change.object!))
    }
    return sorted(state)
  }

  /** Writes an object (undefined: deletes it), gives it the next resourceVersion and tells the watchers. @returns the object as stored, or as deleted */
  write(resource: Resource, key: string, object: KubeObject | undefined): KubeObject {
    const objects = this.#objects.get(resource) ?? new Map<string, KubeObject>()
    this.#objects.set(resource, objects)
    const previous = objects.get(key)
    const version = ++this.#version
    const next = object && deepFreeze(withVersion(object, version))
    if (next) objects.set(key, next)
    else objects.delete(key)
    const change: Change = { version, resource, ...(previous && { previous }), ...(next && { object: next }) }
    this.#remember(change)
    this.#pending.push(change)
    this.#deliver()
    return next ?? withVersion(previous!, version)
  }

  /**
   * Calls back `ADDED` for what matches now, then live events (`since` undefined), or the events after version `since`.
   * An object that stops matching is `DELETED`, one that starts matching `ADDED`.
   * @throws ApiError 410 when `since` is older than the history
   * @returns stops it: no callback comes after
   */
  watch(resource: Resource, matches: ObjectMatcher, since: number | undefined, onEvent: (event: WatchEvent) => void): () => void {
    const watcher: Watcher = { resource, matches, onEvent, version: since ?? this.#version, stopped: false }
    if (since !== undefined) this.#checkHistory(since)
    const first = since === undefined ? -1 : this.#history.findIndex((change) => change.version > since)
    const missed = first < 0 ? [] : this.#history.slice(first)
    const initial = since === undefined ? this.all(resource) : []
    this.#watchers.add(watcher)
    this.#inOrder(() => {
      for (const [, object] of initial) if (!watcher.stopped && matches(object)) onEvent({ type: 'ADDED', object })
      for (const change of missed) tell(watcher, change)
    })
    return () => {
      watcher.stopped = true
      this.#watchers.delete(watcher)
    }
  }

  #checkHistory(version: number): void {
    if (version < this.#compacted) throw expired(`too old resource version: ${version} (${this.#compacted})`)
  }

  #remember(change: Change): void {
    this.#history.push(change)
    if (this.#history.length < this.#historySize * 2) return
    const dropped = this.#history.length - this.#historySize
    this.#compacted = this.#history[dropped - 1]!.version
    this.#history = this.#history.slice(dropped)
  }

  #deliver(): void {
    this.#inOrder(() => undefined)
  }

  /** Runs `first`, then delivers what is pending; inside a delivery only the former, since the outer one goes on with the rest. */
  #inOrder(first: () => void): void {
    const outermost = !this.#delivering
    this.#delivering = true
    try {
      first()
      if (!outermost) return
      for (let change = this.#pending.shift(); change; change = this.#pending.shift()) {
        for (const watcher of [...this.#watchers]) tell(watcher, change)
      }
    } finally {
      if (outermost) this.#delivering = false
    }
  }
}

function tell(watcher: Watcher, change: Change): void {
  if (watcher.stopped || change.version <= watcher.version) return
  watcher.version = change.version
  if (watcher.resource !== change.resource) return
  const { previous, object } = change
  const before = previous !== undefined && watcher.matches(previous)
  const after = object !== undefined && watcher.matches(object)
  if (!before && !after) return
  const event: WatchEvent = after
    ? { type: before ? 'MODIFIED' : 'ADDED', object }
    : { type: 'DELETED', object: deepFreeze(withVersion(previous!, change.version)) }
  try {
    watcher.onEvent(event)
  } catch (error) {
    // A broken watcher must not keep changes from the others; its error still ends the process.
    queueMicrotask(() => {
      throw error
    })
  }
}

/** `namespace/name`, or the name alone. */
export function keyOf(object: { metadata: { name: string; namespace?: string } }): string {
  return object.metadata.namespace ? `${object.metadata.namespace}/${object.metadata.name}` : object.metadata.name
}

function withVersion(object: KubeObject, version: number): KubeObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } }
}

function sorted(objects: ReadonlyMap<string, KubeObject>): [string, KubeObject][] {
  return [...objects].sort(([a], [b]) => (a < b ? -1 : 1))
}
