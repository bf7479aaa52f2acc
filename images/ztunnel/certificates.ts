import type { SecureContext } from 'node:tls'
import type { Leaf } from '../lib/ca.ts'
import { formatIdentity, type Identity } from '../lib/identity.ts'
import { mtlsContext } from '../lib/mtls.ts'
import type { Log } from './log.ts'

/** Who signs: a CA server, or a CA in files. */
export type Issuer = (identity: Identity) => Promise<Leaf>

interface Held {
  readonly identity: Identity
  users: number
  state: 'Initializing' | 'Available' | 'Unavailable'
  leaf?: Leaf
  context?: SecureContext
  error?: string
  /** When the issuer last failed, of performance.now(). */
  failedAt?: number
  pending: Promise<SecureContext> | undefined
  timer?: NodeJS.Timeout | undefined
}

/** Node's timers hold so much, milliseconds, and fire at once when asked for more: half of 90 days, the most that Istio's CA signs for, is more. */
const longestTimer = 2 ** 31 - 1
const retryFirst = 500
const retryMost = 150_000

/** One certificate for each identity in use, renewed at half of its life; the TLS context is made once for each certificate. */
export class Certificates {
  readonly #issue: Issuer
  readonly #log: Log
  readonly #held = new Map<string, Held>()

  constructor(issue: Issuer, log: Log) {
    this.#issue = issue
    this.#log = log
  }

  /** Says that a pod with this identity is here and has its certificate made. Pair with `release`. */
  hold(identity: Identity): void {
    const held = this.#get(identity)
    held.users++
    if (!held.context) this.#fetch(held).catch((error: Error) => this.#log('info', 'identity', `couldn't prefetch: ${error.message}`))
  }

  release(identity: Identity): void {
    const held = this.#held.get(formatIdentity(identity))
    if (!held || --held.users > 0) return
    clearTimeout(held.timer)
    this.#held.delete(formatIdentity(identity))
  }

  /** The context to speak as `identity`; waits for the first certificate. Rejects if it cannot be had. */
  async context(identity: Identity): Promise<SecureContext> {
    const held = this.#get(identity)
    if (held.context && held.leaf && held.leaf.notAfter.getTime() > Date.now()) return held.context
    // An issuer that says no is not asked again by each of many connections.
    if (!held.pending && held.failedAt !== undefined && performance.now() - held.failedAt < retryFirst) throw unavailable(held)
    return this.#fetch(held)
  }

  /** For the config dump. */
  all(): { identity: string; state: string; leaf?: Leaf }[] {
    return [...this.#held].map(([identity, { state, leaf, error }]) => ({
      identity,
      state: state === 'Unavailable' ? `Unavailable: ${error}` : state,
      ...(leaf && { leaf }),
    }))
  }

  close(): void {
    for (const held of this.#held.values()) clearTimeout(held.timer)
    this.#held.clear()
  }

  #get(identity: Identity): Held {
    const key = formatIdentity(identity)
    let held = this.#held.get(key)
    if (!held) {
      held = { identity, users: 0, state: 'Initializing', pending: undefined }
      this.#held.set(key, held)
    }
    return held
  }

  #fetch(held: Held, attempt = 0): Promise<SecureContext> {
    held.pending ??= this.#renew(held, attempt).finally(() => {
      held.pending = undefined
    })
    return held.pending
  }

  async #renew(held: Held, attempt: number): Promise<SecureContext> {
    const key = formatIdentity(held.identity)
    const again = (delay: number, next: number) => {
      clearTimeout(held.timer)
      if (this.#held.get(key) !== held) return
      held.timer = setTimeout(() => {
        // Made for a connection of a pod that does not hold it: the next connection asks again.
        if (held.users === 0) this.#held.delete(key)
        else this.#fetch(held, next).catch(() => {})
      }, delay).unref()
    }
    try {
      const leaf = await this.#issue(held.identity)
      const context = mtlsContext(leaf)
      Object.assign(held, { leaf, context, state: 'Available', error: undefined, failedAt: undefined })
      again(renewIn(leaf), 0)
      return context
    } catch (error) {
      const message = (error as Error).message
      Object.assign(held, { error: message, failedAt: performance.now() })
      if (!held.leaf || held.leaf.notAfter.getTime() <= Date.now()) held.state = 'Unavailable'
      this.#log('error', 'identity', 'certificate could not be had', { identity: key, error: message })
      again(Math.min(retryFirst * 2 ** attempt, retryMost), attempt + 1)
      throw unavailable(held)
    }
  }
}

const unavailable = ({ identity, error }: Held) => new Error(`identity error: no certificate for ${formatIdentity(identity)}: ${error}`)

/** Milliseconds until half of its life; of what is left of it, when half is over already (short lives are dated back too): a CA is not asked without end. */
function renewIn({ notBefore, notAfter }: Leaf): number {
  const half = (notBefore.getTime() + notAfter.getTime()) / 2 - Date.now()
  return half > 0 ? Math.min(half, longestTimer) : Math.max(retryFirst, (notAfter.getTime() - Date.now()) / 2)
}
