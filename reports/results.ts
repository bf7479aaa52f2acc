import { z } from 'zod'

/** `results.json`: what a run found. Version 1. */
export const verdicts = ['pass', 'fail', 'unsupported', 'inconclusive', 'error'] as const

const proofSchema = z.object({
  kind: z.string(),
  /** `observed`: this very flow; `computed`: from recorded state; `aggregate`: a sum over the run. */
  label: z.enum(['observed', 'computed', 'aggregate']),
  status: z.enum(['proven', 'contradicted', 'missing']),
  expected: z.string(),
  seen: z.string().optional(),
  /** Pointer into the bundle: `FILE#LN` or `FILE#pN`. */
  ref: z.string().optional(),
  refs: z.array(z.string()),
})

const hopSchema = z.object({
  id: z.string(),
  title: z.string(),
  vantage: z.string(),
  verdict: z.enum(['pass', 'fail', 'inconclusive']),
  proofs: z.array(proofSchema),
})

const caseSchema = z.object({
  id: z.string(),
  mode: z.string(),
  release: z.string(),
  provider: z.string(),
  /** Its place in the matrix: traffic, placement, address, protocol, policy, connection and what else the matrix tells apart. */
  axes: z.record(z.string(), z.string()).optional(),
  verdict: z.enum(verdicts),
  reason: z.string().optional(),
  brokenHop: z.string().optional(),
  likely: z.string().optional(),
  /** The client's request, milliseconds. */
  durationMs: z.number(),
  legs: z.array(z.object({ id: z.string(), title: z.string(), row: z.enum(['clear', 'sealed']), hops: z.array(hopSchema) })),
  checks: z.array(hopSchema),
  /** The digest of what the verdict rests on: see CONFORMANCE.md beside this file. `bundle`: its folder below that of the run. */
  evidence: z.object({ bundle: z.string(), sha256: z.string(), pieces: z.number() }).optional(),
  /** The command that runs just this case. */
  reproduce: z.string(),
})

export const resultsSchema = z.object({
  schema: z.literal(1),
  run: z.string(),
  provider: z.string(),
  /** All of the run, separated by commas. */
  release: z.string(),
  startedAt: z.string(),
  totals: z.record(z.enum(verdicts), z.number()),
  cases: z.array(caseSchema),
  /** Where the time went, in order; milliseconds. */
  stages: z.array(z.object({ name: z.string(), ms: z.number() })).optional(),
  /** What a killed run left unfinished, in words. */
  notes: z.array(z.string()),
  /** Cells that were asked for and not run, and why. */
  notRun: z
    .array(
      z.object({
        id: z.string(),
        mode: z.string(),
        release: z.string(),
        axes: z.record(z.string(), z.string()).optional(),
        reason: z.string(),
      }),
    )
    .optional(),
  /** What the run ran on and with: versions, digests. */
  environment: z.record(z.string(), z.union([z.string(), z.record(z.string(), z.string())])).optional(),
})

export type Results = z.infer<typeof resultsSchema>
export type Stage = NonNullable<Results['stages']>[number]
export type CaseResult = z.infer<typeof caseSchema>

/** The exit code that a run ends with: 3 harness or environment (also: nothing judged), 1 mesh failed, 4 inconclusive, 0 all judged passed; in this order. */
export function exitCodeOf({ totals }: Pick<Results, 'totals'>): 0 | 1 | 3 | 4 {
  if (totals.error > 0) return 3
  if (totals.fail > 0) return 1
  if (totals.inconclusive > 0) return 4
  return totals.pass > 0 ? 0 : 3
}
