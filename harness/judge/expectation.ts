import { z } from 'zod'
import type { Path } from '../modes/path.ts'
import type { BoundCase } from '../modes/place.ts'

/** `cases/ID.json`: what a case is and the path that it must take, written before its traffic. */
export interface Expectation extends BoundCase {
  /** Place in the matrix; verdicts come in this order. */
  readonly index: number
  readonly path: Path
  /** The condition that the negative control takes away. */
  readonly decisive: string
}

/** A cell that cannot run here: the file says why instead of a path. */
export interface Unsupported {
  readonly index: number
  readonly case: { readonly id: string; readonly mode: string }
  readonly unsupported: string
}

// The shape is checked at the file border as far as the judge relies on it; the rest is the harness's own data written back.
const place = z.object({ node: z.string(), netns: z.string(), ip: z.string() }).loose()
const hopSchema = z.object({
  id: z.string(),
  title: z.string(),
  vantage: z.string(),
  proofs: z.array(z.object({ kind: z.string() }).loose()),
})
const legSchema = z.object({
  id: z.string(),
  title: z.string(),
  row: z.enum(['clear', 'sealed']),
  reused: z.boolean(),
  facts: z.string(),
  hops: z.array(hopSchema),
})

const boundSchema = z.object({
  index: z.number(),
  case: z.object({ id: z.string(), mode: z.string() }).loose(),
  client: place,
  server: place,
  destination: z.string(),
  endpoint: z.string(),
  resolver: z.string().default(''),
  name: z.string().optional(),
  addresses: z.array(z.string()).optional(),
  decisive: z.string(),
  path: z.object({
    legs: z.array(legSchema),
    bindings: z.record(
      z.string(),
      z.object({ from: z.enum(['client', 'packet', 'tunnel', 'conntrack', 'question', 'translation']) }).loose(),
    ),
    outcome: z.union([z.enum(['served', 'resolved', 'refused', 'closed', 'cut-off']), z.templateLiteral(['answered ', z.number()])]),
  }),
})

const unsupportedSchema = z.object({
  index: z.number(),
  case: z.object({ id: z.string(), mode: z.string() }).loose(),
  unsupported: z.string(),
})

/** A file of `cases/`. Which of the two it is decides first: a union would only say that it is neither. */
export const expectationSchema = z.unknown().transform((value, context) => {
  const isUnsupported = typeof value === 'object' && value !== null && 'unsupported' in value
  const { error, data } = (isUnsupported ? unsupportedSchema : boundSchema).safeParse(value)
  for (const { message, path } of error?.issues ?? []) context.addIssue({ code: 'custom', message, path: [...path] })
  return data
}) as unknown as z.ZodType<Expectation | Unsupported>
