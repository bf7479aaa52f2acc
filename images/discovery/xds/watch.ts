import type { DeltaDiscoveryRequest } from '../../lib/xds/messages.ts'
import type { Change, Entry, ResourceSet } from '../resources/resource-set.ts'

export interface Delta {
  readonly resources: readonly Entry[]
  readonly removed: readonly string[]
}

/** What a request turned out to be, for logs and counters. */
export type Heard = 'subscribed' | 'acknowledged' | 'refused' | 'stale'

/**
 * One client's view of one type of resources: what it asked for, what it was sent, and what it must hear of. Nothing is lost: what is pending stays
 * pending until it is taken, and what is taken is compared with what the client has.
 */
export class Watch {
  readonly #set: ResourceSet
  #wildcard = false
  /** Names and aliases that were asked for one by one. */
  readonly #asked = new Set<string>()
  /** What the client has, name → version. */
  readonly #sent = new Map<string, string>()
  readonly #pending = new Set<string>()
  /** Asked for: to be told "removed" if it is not there, even if it never was. */
  readonly #answers = new Set<string>()
  #owesAnswer = false
  #begun = false
  #nonce = ''

  constructor(set: ResourceSet) {
    this.#set = set
  }

  /** Reads a request of this type. */
  hear(request: DeltaDiscoveryRequest): Heard {
    const first = !this.#begun
    const { resourceNamesSubscribe: subscribe, resourceNamesUnsubscribe: unsubscribe, responseNonce } = request
    if (first) {
      this.#begun = true
      // Without names it is for everything; with `*` too, unless that is taken back in the same breath (on demand).
      this.#wildcard = subscribe.length === 0 && unsubscribe.length === 0
      for (const [name, version] of Object.entries(request.initialResourceVersions)) {
        this.#sent.set(name, version)
        // A client on demand does not name again what it has (Istio's server takes it so, too).
        if (!this.#wildcard) this.#asked.add(name)
      }
      this.#owesAnswer = true
    }
    for (const name of subscribe) this.#subscribe(name, first)
    for (const name of unsubscribe) this.#unsubscribe(name)
    if (first) {
      if (this.#wildcard) for (const name of this.#set.names()) this.#pending.add(name)
      for (const name of this.#sent.keys()) this.#pending.add(name)
    }
    if (subscribe.length > 0) this.#owesAnswer = true
    if (responseNonce === '') return 'subscribed'
    if (responseNonce !== this.#nonce) return subscribe.length + unsubscribe.length > 0 ? 'subscribed' : 'stale'
    return request.errorDetail ? 'refused' : 'acknowledged'
  }

  /** Notes what of a change the client must hear. */
  note(change: Change): void {
    for (const name of change.removed) if (this.#sent.has(name)) this.#pending.add(name)
    for (const name of change.changed) if (this.#concerns(name)) this.#pending.add(name)
  }

  get waits(): boolean {
    return this.#owesAnswer || this.#pending.size > 0
  }

  /**
   * What is to be sent now, and takes it as sent. A first answer comes even if it is empty.
   * @returns undefined when there is nothing to say
   */
  take(): Delta | undefined {
    const resources: Entry[] = []
    const removed: string[] = []
    for (const name of this.#pending) {
      const entry = this.#set.get(name)
      if (entry && this.#concerns(name)) {
        if (this.#sent.get(name) === entry.version) continue
        this.#sent.set(name, entry.version)
        resources.push(entry)
      } else if (this.#sent.delete(name)) removed.push(name)
    }
    this.#pending.clear()
    for (const asked of this.#answers) if (this.#set.lookUp(asked).length === 0 && !removed.includes(asked)) removed.push(asked)
    this.#answers.clear()
    if (!this.#owesAnswer && resources.length === 0 && removed.length === 0) return undefined
    this.#owesAnswer = false
    return { resources, removed }
  }

  /** The nonce of what was sent last. */
  set nonce(nonce: string) {
    this.#nonce = nonce
  }

  #subscribe(name: string, first: boolean): void {
    if (name === '*') {
      this.#wildcard = true
      if (!first) for (const known of this.#set.names()) this.#pending.add(known)
      return
    }
    this.#asked.add(name)
    this.#answers.add(name)
    for (const found of this.#set.lookUp(name)) {
      // Asked for again while it runs: it is sent again.
      if (!first) this.#sent.delete(found)
      this.#pending.add(found)
    }
  }

  #unsubscribe(name: string): void {
    if (name === '*') this.#wildcard = false
    else this.#asked.delete(name)
    this.#answers.delete(name)
    // What nobody asked for any longer is the client's to forget: it is not told of it.
    for (const had of [...this.#sent.keys()]) if (this.#set.get(had) && !this.#concerns(had)) this.#sent.delete(had)
  }

  /** Did the client ask for it: for all, by name, by alias, or by what it belongs to? */
  #concerns(name: string): boolean {
    if (this.#wildcard || this.#asked.has(name)) return true
    if (this.#asked.size === 0) return false
    const entry = this.#set.get(name)
    if (!entry) return false
    if (entry.aliases.some((alias) => this.#asked.has(alias))) return true
    return entry.belongsTo.some((service) => this.#asked.has(service) || this.#set.get(service)?.aliases.some((a) => this.#asked.has(a)))
  }
}
