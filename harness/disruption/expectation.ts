import { z } from 'zod'

const place = z.object({ node: z.string(), netns: z.string(), ip: z.string() })

export const disruptionSchema = z.object({
  id: z.string(),
  mode: z.string(),
  release: z.string(),
  disturbance: z.enum(['label-off-and-on', 'ztunnel-rollout', 'agent-restart', 'discovery-restart', 'enrolment', 'leaving']),
  subject: z.enum(['server', 'client', 'mesh']),
  connections: z.enum(['new', 'established']),
  quick: z.literal(false),
})

/** `disruptions/ID.json`: what a disruption is and what it may cost, written before its load. */
export const expectationSchema = z.union([
  z.object({
    index: z.number(),
    case: disruptionSchema,
    client: place,
    server: place,
    /** Name of its load in `loads.jsonl` and the timeline. */
    load: z.string(),
    /** Loads that tell whether the others can be believed. */
    controls: z.object({ quiet: z.string(), closed: z.string(), plain: z.string() }),
    /** So many requests at least. */
    least: z.number(),
    /** So many may be lost or reset at most; of established connections: what must become of each. */
    mayBeLost: z.number().optional(),
    outcome: z.enum(['reset', 'hang', 'survives']).optional(),
    facts: z.string(),
    /** Workload whose pod must have been replaced on each of these nodes; no nodes: wherever it is. */
    replaced: z.object({ name: z.string(), nodes: z.array(z.string()) }).optional(),
  }),
  z.object({ index: z.number(), case: disruptionSchema, unsupported: z.string() }),
])

export type DisruptionRecord = z.infer<typeof expectationSchema>
export type DisruptionExpectation = Extract<DisruptionRecord, { load: string }>
export type DisruptionPlace = z.infer<typeof place>
