import { createHash } from 'node:crypto'

/** One resource as it is sent. */
export interface Entry {
  readonly name: string
  /** A digest of the content: equal resources have equal versions, whoever made them and when. */
  readonly version: string
  /** The encoded message. */
  readonly bytes: Buffer
  /** Other names that it is asked for by: `<network>/<ip>`. */
  readonly aliases: readonly string[]
  /** Names of resources that whoever asks for one by name needs with it: a service's workloads name the service here. */
  readonly belongsTo: readonly string[]
}

/** What changed at once. */
export interface Change {
  readonly changed: readonly string[]
  readonly removed: readonly string[]
}

/** All resources of one type, by name, by alias, and by what they belong to. */
export class ResourceSet {
  readonly #entries = new Map<string, Entry>()
  readonly #byAlias = new Map<string, Set<string>>()
  readonly #members = new Map<string, Set<string>>()

  get(name: string): Entry | undefined {
    return this.#entries.get(name)
  }

  names(): IterableIterator<string> {
    return this.#entries.keys()
  }

  get size(): number {
    return this.#entries.size
  }

  /** The resources that a client means by a name: the one called so, or those that have it as an alias, each with its members. */
  lookUp(asked: string): string[] {
    const found = this.#entries.has(asked) ? [asked] : [...(this.#byAlias.get(asked) ?? [])]
    return [...new Set(found.flatMap((name) => [name, ...(this.#members.get(name) ?? [])]))]
  }

  /** @returns whether that changed anything */
  put(entry: Omit<Entry, 'version'>): boolean {
    const version = createHash('sha256').update(entry.bytes).digest('base64url').slice(0, 22)
    const old = this.#entries.get(entry.name)
    if (old?.version === version) return false
    this.remove(entry.name)
    this.#entries.set(entry.name, { ...entry, version })
    for (const alias of entry.aliases) add(this.#byAlias, alias, entry.name)
    for (const service of entry.belongsTo) add(this.#members, service, entry.name)
    return true
  }

  /** @returns whether it was there */
  remove(name: string): boolean {
    const old = this.#entries.get(name)
    if (!old) return false
    this.#entries.delete(name)
    for (const alias of old.aliases) drop(this.#byAlias, alias, name)
    for (const service of old.belongsTo) drop(this.#members, service, name)
    return true
  }
}

export function add(index: Map<string, Set<string>>, key: string, value: string): void {
  const set = index.get(key)
  if (set) set.add(value)
  else index.set(key, new Set([value]))
}

export function drop(index: Map<string, Set<string>>, key: string, value: string): void {
  const set = index.get(key)
  set?.delete(value)
  if (set?.size === 0) index.delete(key)
}
