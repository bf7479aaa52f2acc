import { type KubeObject, keyOf } from '../kubernetes/objects.ts'
import { add, drop } from './resource-set.ts'

/** Objects of one kind, by key and by namespace. */
export class ObjectStore<T extends KubeObject> {
  readonly #objects = new Map<string, T>()
  readonly #keys = new Map<string, Set<string>>()

  get(key: string): T | undefined {
    return this.#objects.get(key)
  }

  put(object: T): void {
    const key = keyOf(object)
    this.#objects.set(key, object)
    add(this.#keys, object.metadata.namespace ?? '', key)
  }

  delete(object: KubeObject): void {
    const key = keyOf(object)
    this.#objects.delete(key)
    drop(this.#keys, object.metadata.namespace ?? '', key)
  }

  all(): IterableIterator<T> {
    return this.#objects.values()
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys()
  }

  namespaces(): IterableIterator<string> {
    return this.#keys.keys()
  }

  keysIn(namespace: string): Iterable<string> {
    return this.#keys.get(namespace) ?? []
  }

  in(namespace: string): T[] {
    return [...this.keysIn(namespace)].map((key) => this.#objects.get(key) as T)
  }
}
