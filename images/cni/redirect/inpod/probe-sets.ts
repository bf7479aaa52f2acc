import { type Netns, runIn } from '../command.ts'
import { type Family, probeSet } from './constants.ts'

const families: readonly Family[] = ['v4', 'v6']
const inet = { v4: 'inet', v6: 'inet6' } as const

/** The node's sets of enrolled pods' addresses (ipset, hash:ip), each entry with the pod's UID as its comment. */
export class ProbeSets {
  readonly #host: Netns
  /** Address → UID, as in the kernel. */
  readonly #members = new Map<string, string>()
  #tail: Promise<unknown> = Promise.resolve()

  constructor(host: Netns) {
    this.#host = host
  }

  /** Makes both sets, or takes over those of a former agent with what is in them. */
  create(): Promise<void> {
    return this.#exclusive(async () => {
      await this.#restore(families.map((f) => `create ${probeSet[f]} hash:ip family ${inet[f]} comment`))
      this.#members.clear()
      for (const family of families) {
        const text = await runIn(this.#host, ['ipset', 'save', probeSet[family]])
        for (const [, address, uid] of text.matchAll(/^add \S+ (\S+)(?:.* comment "([^"]*)")?/gm)) this.#members.set(address!, uid ?? '')
      }
    })
  }

  /** Upsert by address: an entry that another pod left is overwritten; addresses that the pod had before go. No addresses: nothing is known, nothing changes. */
  assign(uid: string, addresses: readonly string[]): Promise<void> {
    return this.#exclusive(async () => {
      if (addresses.length === 0) return
      const fresh = addresses.filter((a) => this.#members.get(a) !== uid)
      if (fresh.length > 0) await this.#restore(fresh.map((a) => `add ${setOf(a)} ${a} comment "${uid}"`))
      for (const a of fresh) this.#members.set(a, uid)
      await this.#drop([...this.#members].filter(([a, owner]) => owner === uid && !addresses.includes(a)).map(([a]) => a))
    })
  }

  /** Takes out all entries of that pod, known by UID: no address is needed, and an address that another pod has taken over stays. */
  remove(uid: string): Promise<void> {
    return this.#exclusive(() => this.#drop([...this.#members].filter(([, owner]) => owner === uid).map(([a]) => a)))
  }

  /** Takes out every entry that belongs to none of `uids`. */
  prune(uids: ReadonlySet<string>): Promise<void> {
    return this.#exclusive(() => this.#drop([...this.#members].filter(([, owner]) => !uids.has(owner)).map(([a]) => a)))
  }

  /** Empties and removes both sets; nothing may refer to them any more. */
  destroy(): Promise<void> {
    return this.#exclusive(async () => {
      await this.#restore(families.map((f) => `create ${probeSet[f]} hash:ip family ${inet[f]} comment`))
      await this.#restore(families.flatMap((f) => [`flush ${probeSet[f]}`, `destroy ${probeSet[f]}`]))
      this.#members.clear()
    })
  }

  async #drop(addresses: readonly string[]): Promise<void> {
    if (addresses.length === 0) return
    await this.#restore(addresses.map((a) => `del ${setOf(a)} ${a}`))
    for (const a of addresses) this.#members.delete(a)
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

function setOf(address: string): string {
  return address.includes(':') ? probeSet.v6 : probeSet.v4
}
