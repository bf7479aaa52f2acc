import { frameKind } from '../../evidence/frames.ts'
import type { EvidenceListener } from '../../evidence/writer.ts'

/** A request of the load that has ended, as far as the driver wants to know. */
interface Answered {
  readonly ok: boolean
  readonly connection?: number
}

/** Follows what the clients tell of their loads, so that the driver can wait for requests instead of a time. It decides nothing. */
export class Progress {
  readonly #answered = new Map<string, Answered[]>()
  readonly #waiting = new Set<() => void>()
  readonly #served = new Set<string>()
  readonly #released = new Map<string, number>()

  /** What to hand to the collector session of a node. */
  readonly listener: EvidenceListener = (kind, payload) => {
    if (kind === frameKind.loads) {
      for (const line of payload.toString().trimEnd().split('\n')) {
        const { load, ok, seq, connection } = JSON.parse(line) as { load: string; ok: boolean; seq?: number; connection?: number }
        if (seq === undefined) continue
        const answered = this.#answered.get(load) ?? []
        answered.push(connection === undefined ? { ok } : { ok, connection })
        this.#answered.set(load, answered)
      }
    } else if (kind === frameKind.logs) {
      for (const [, mark] of payload.toString().matchAll(/([A-Za-z0-9]{8,64}\.\d{6,}\.[0-9a-f]{16})/g)) this.#served.add(mark!)
      // ztunnel's line in every release, the last thing of a pod's leaving.
      for (const [, uid] of payload.toString().matchAll(/pod delete request, [^"]*uid=\\"([^"\\]+)\\"/g))
        this.#released.set(uid!, this.released(uid!) + 1)
    } else return
    this.wake()
  }

  answers(load: string): readonly Answered[] {
    return this.#answered.get(load) ?? []
  }

  /** Different tokens with this beginning that servers told of. */
  served(mark: string): number {
    let n = 0
    for (const token of this.#served) if (token.startsWith(`${mark}.`)) n++
    return n
  }

  /** How often a proxy was told that a pod is not its own any more. */
  released(uid: string): number {
    return this.#released.get(uid) ?? 0
  }

  /** For what happens besides: who waits looks again. */
  wake(): void {
    for (const wake of this.#waiting) wake()
  }

  /** @returns false after `timeoutMs` */
  async until(enough: () => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs
    while (!enough()) {
      const left = deadline - performance.now()
      if (left <= 0) return false
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiting.add(resolve)
      const timer = setTimeout(resolve, left)
      await promise
      clearTimeout(timer)
      this.#waiting.delete(resolve)
    }
    return true
  }
}
