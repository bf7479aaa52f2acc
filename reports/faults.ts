import { z } from 'zod'
import { verdicts } from './results.ts'

export { asExpected, gotThrough } from './fault-outcome.ts'

export const faultOutcomes = ['caught', 'caught elsewhere', 'missed', 'equivalent'] as const

const placeSchema = z.object({ case: z.string(), hop: z.string() })

const faultSchema = z.object({
  fault: z.string(),
  /** What is wrong then, in words. */
  title: z.string(),
  /**
   * `caught` at the case and hop that were expected; `caught elsewhere`; `missed`; or `equivalent`: not caught, and what the run left in packets, marks,
   * rule hits, routes and sockets is what a clean run leaves.
   */
  outcome: z.enum(faultOutcomes),
  /** By what the traffic did: the case and the hop that failed. Absent: not caught. */
  traffic: placeSchema.optional(),
  /** The case and hop that were expected to fail, written down before the run. */
  expected: placeSchema,
  /** By comparing kernel state, traffic left aside. */
  audit: z.boolean(),
  /** Why the traffic did not catch it. */
  why: z.string().optional(),
  /** Why no traffic can tell it from none, as the catalogue says; absent: the traffic must catch it. */
  equivalent: z.string().optional(),
  /** Not caught: what tells its run from a clean one; the first of it. */
  differences: z.array(z.string()).optional(),
  /** What became of each case that was run with it; ids without the mode. */
  cases: z.array(z.object({ case: z.string(), verdict: z.enum(verdicts), hop: z.string().optional(), reason: z.string().optional() })),
  durationMs: z.number(),
})

/** `faults.json`: what became of each seeded fault. Version 1. */
export const faultsSchema = z.object({
  schema: z.literal(1),
  mode: z.string(),
  release: z.string(),
  provider: z.string(),
  faults: z.array(faultSchema),
})

export type FaultResult = z.infer<typeof faultSchema>
export type FaultResults = z.infer<typeof faultsSchema>

/** `49 caught, 1 caught elsewhere, 0 missed, 2 equivalent of 52`: equivalent ones are no test of the traffic. */
export function countOutcomes(faults: readonly Pick<FaultResult, 'outcome'>[]): string {
  const counts = faultOutcomes.map((outcome) => `${faults.filter((f) => f.outcome === outcome).length} ${outcome}`)
  return `${counts.join(', ')} of ${faults.length} faults`
}
