import { type Netns, runIn } from '../command.ts'
import type { Family } from './rule.ts'

const inet = { v4: 'inet', v6: 'inet6' } as const

/** The node's sets of enrolled pods' addresses (ipset, hash:ip), each entry with the pod's UID as its comment. */
export class AddressSets {
  readonly #host: Netns
  readonly #sets: readonly (readonly [family: Family, name: string])[]
  readonly #known: readonly string[]
  /** Address → UID, as in the kernel. */
  readonly #members = new Map<string, string>()
  #tail: Promise<unknown> = Promise.resolve()

  /**
   * @param names the set of each family that is captured
   * @param known names that sets of any release have
   */
  constructor(host: Netns, names: Readonly<Partial<Record<Family, string>>>, known: readonly string[]) {
    this.#host = host
    this.#sets = Object.entries(names) as [Family, string][]
    this.#known = known
  }

  /** Makes the sets, or takes over those of a former agent with what is in them. */
  create(): Promise<void> {
    return this.#exclusive(async () => {
      await this.#restore(this.#sets.map(created))
      this.#members.clear()
      for (const [, name] of this.#sets) {
        const text = await runIn(this.#host, ['ipset', 'save', name])
        for (const [, address, uid] of text.matchAll(/^add \S+ (\S+)(?:.* comment "([^"]*)")?/gm)) this.#members.set(address!, uid ?? '')
      }
    })
  }

  /** Upsert by address: an entry that another pod left is overwritten; addresses that the pod had before go. No addresses: nothing is known, nothing changes. */
  assign(uid: string, addresses: readonly string[]): Promise<void> {
    return this.#exclusive(async () => {
      if (addresses.length === 0) return
      const fresh = addresses.filter((a) => this.#setOf(a) && this.#members.get(a) !== uid)
      if (fresh.length > 0) await this.#restore(fresh.map((a) => `add ${this.#setOf(a)} ${a} comment "${uid}"`))
      for (const a of fresh) this.#members.set(a, uid)
      await this.#drop([...this.#members].filter(([a, owner]) => owner === uid && !addresses.includes(a)).map(([a]) => a))
    })
  }

  /** The addresses in the sets that are that pod's. */
  addressesOf(uid: string): string[] {
    return [...this.#members].filter(([, owner]) => owner === uid).map(([a]) => a)
  }

  /** Every address in the sets. */
  addresses(): string[] {
    return [...this.#members.keys()]
  }

  /** Takes out all entries of that pod, known by UID: no address is needed, and an address that another pod has taken over stays. */
  remove(uid: string): Promise<void> {
    return this.#exclusive(() => this.#drop(this.addressesOf(uid)))
  }

  /** Takes out every entry that belongs to none of `uids`. */
  prune(uids: ReadonlySet<string>): Promise<void> {
    return this.#exclusive(() => this.#drop([...this.#members].filter(([, owner]) => !uids.has(owner)).map(([a]) => a)))
  }

  /** Empties and removes the sets; nothing may refer to them any more. */
  destroy(): Promise<void> {
    return this.#exclusive(async () => {
      await this.#restore(this.#sets.map(created))
      await this.#restore(this.#sets.flatMap(([, name]) => [`flush ${name}`, `destroy ${name}`]))
      this.#members.clear()
    })
  }

  /** Removes sets that an agent of another release made; nothing may refer to them any more. */
  dropOthers(): Promise<void> {
    return this.#exclusive(async () => {
      const there = (await runIn(this.#host, ['ipset', 'list', '-name'])).split('\n')
      const others = this.#known.filter((name) => there.includes(name) && !this.#sets.some(([, own]) => own === name))
      if (others.length > 0) await this.#restore(others.flatMap((name) => [`flush ${name}`, `destroy ${name}`]))
    })
  }

  async #drop(addresses: readonly string[]): Promise<void> {
    if (addresses.length === 0) return
    await this.#restore(addresses.map((a) => `del ${this.#setOf(a)} ${a}`))
    for (const a of addresses) this.#members.delete(a)
  }

  /** Undefined: addresses of this family are not captured. */
  #setOf(address: string): string | undefined {
    const wanted = address.includes(':') ? 'v6' : 'v4'
    return this.#sets.find(([family]) => family === wanted)?.[1]
  }

  async #restore(lines: readonly string[]): Promise<void> {
    await runIn(this.#host, ['ipset', 'restore', '-exist'], `${lines.join('\n')}\n`)
  }

  /** One change at a time: the map and the kernel must not drift apart. */
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work)
    this.#tail = result.catch(() => {})
    return result
  }
}

const created = ([family, name]: readonly [Family, string]) => `create ${name} hash:ip family ${inet[family]} comment`
