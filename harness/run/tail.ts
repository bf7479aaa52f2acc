import { frameKind } from '../evidence/frames.ts'
import type { Observation } from '../evidence/observation.ts'
import { parseSockets } from '../evidence/parse/events.ts'
import { parseLogs } from '../evidence/parse/logs.ts'
import type { EvidenceListener } from '../evidence/writer.ts'

type Told = Extract<Observation, { kind: 'ztunnel-log' | 'served' | 'socket' }>

/**
 * Follows what logs and closed sockets tell while a run goes on, so that the driver can wait for an event instead of a time.
 * It decides nothing: verdicts come from the bundle alone.
 */
export class Tail {
  readonly #told: Told[] = []
  readonly #waiting = new Set<() => void>()

  /** What to hand to the collector session of a node. */
  listener(node: string): EvidenceListener {
    return (kind, payload) => {
      if (kind === frameKind.logs) this.#told.push(...parseLogs(payload, 'logs.jsonl', node, []))
      else if (kind === frameKind.sockets) this.#told.push(...parseSockets(payload, 'sockets.jsonl', node, []))
      else return
      for (const wake of this.#waiting) wake()
    }
  }

  /** How much has been told by now: where `until` starts to look. */
  get position(): number {
    return this.#told.length
  }

  /** Waits until what was told since `from` satisfies `enough`; false when it did not in time. */
  async until(enough: (told: readonly Told[]) => boolean, from: number, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs
    while (!enough(this.#told.slice(from))) {
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
