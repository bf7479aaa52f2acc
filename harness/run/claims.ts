import type { Expectation } from '../judge/expectation.ts'

/** What a request needs for itself while it is in flight. */
export interface Claim {
  /** It changes, or looks at, what all share. */
  readonly alone: boolean
  readonly pods: readonly string[]
}

/**
 * A request from pod to pod needs these two. What dials a name, asks for one, speaks for itself or for somebody else, changes policies or moves much needs
 * more than its pods: it goes alone.
 */
export function claimOf({ case: c, client, server }: Pick<Expectation, 'case' | 'client' | 'server'>): Claim {
  const named = c.protocol === 'dns' || c.address === 'headless' || c.address === 'service-name'
  const pretending = c.traffic === 'forged' || c.traffic === 'mesh-to-impostor'
  const alone = named || pretending || c.policy === 'revoked' || c.exchange === 'bulk'
  const place = (p: { readonly node: string; readonly netns: string }) => `${p.node}/${p.netns}`
  return { alone, pods: [place(client), place(server)] }
}

/** Runs work when nothing that runs uses the same pods; in the order of asking, but what can go passes what must wait, unless that needs to be alone. */
export class Claims {
  readonly #limit: number
  readonly #running = new Set<Claim>()
  readonly #waiting: { readonly claim: Claim; readonly start: () => void }[] = []

  /** @param limit how many run at once, at most; a whole number from 1 */
  constructor(limit: number) {
    this.#limit = limit
  }

  /**
   * @param signal whose turn has not come when it is aborted does not run
   * @returns what the work returns; undefined when it did not run
   */
  async with<T>(claim: Claim, work: () => Promise<T>, signal?: AbortSignal): Promise<T | undefined> {
    if (signal?.aborted) return undefined
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const entry = { claim, start: () => resolve(true) }
    const leave = () => {
      if (!this.#waiting.includes(entry)) return
      this.#waiting.splice(this.#waiting.indexOf(entry), 1)
      resolve(false)
      this.#next()
    }
    this.#waiting.push(entry)
    signal?.addEventListener('abort', leave)
    this.#next()
    const isMine = await promise
    signal?.removeEventListener('abort', leave)
    if (!isMine) return undefined
    try {
      return await work()
    } finally {
      this.#running.delete(claim)
      this.#next()
    }
  }

  #next(): void {
    for (const entry of [...this.#waiting]) {
      if (this.#running.size >= this.#limit) return
      const before = this.#waiting.slice(0, this.#waiting.indexOf(entry))
      const conflicts = (other: Claim) => other.alone || entry.claim.alone || other.pods.some((pod) => entry.claim.pods.includes(pod))
      // Those before it that share nothing with it may wait on: each waits for something else.
      if ([...this.#running].some(conflicts) || before.some((b) => conflicts(b.claim))) continue
      this.#waiting.splice(this.#waiting.indexOf(entry), 1)
      this.#running.add(entry.claim)
      entry.start()
    }
  }
}

/**
 * Work that several may wait for: who asks while it runs gets the next run, together with all others who ask meanwhile. So everybody's run begins
 * after they asked, and never two run at a time.
 */
export function shared<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined
  let next: Promise<T> | undefined
  const start = (): Promise<T> => {
    next = undefined
    const mine = work().finally(() => {
      if (running === mine) running = undefined
    })
    running = mine
    return mine
  }
  return () => {
    if (!running) return start()
    next ??= running.then(start, start)
    return next
  }
}
