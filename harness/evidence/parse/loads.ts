import { z } from 'zod'
import type { EventObservation, LoadAnswerObservation, LoadEndObservation, SightingObservation } from '../observation.ts'
import { stamped } from './events.ts'
import { parseLines } from './jsonl.ts'

const answerLine = z.object({
  t: z.number(),
  load: z.string(),
  seq: z.int().min(0),
  token: z.string().min(1),
  connection: z.int().min(0).optional(),
  ok: z.boolean(),
  error: z.string().optional(),
  startedAt: z.number(),
  endedAt: z.number(),
})
const endLine = z.object({ t: z.number(), load: z.string(), sent: z.int().min(0), startedAt: z.number(), endedAt: z.number() })
const sightingLine = z.object({ ...stamped, dev: z.string(), direction: z.enum(['in', 'out']), token: z.string().min(1) })
const eventLine = z.object({
  t: z.number(),
  node: z.string(),
  netns: z.string(),
  what: z.string(),
  detail: z.string().optional(),
})

/** `loads.jsonl` of a node: what the clients on it told of their loads. */
export function parseLoads(bytes: Uint8Array, file: string, node: string, notes: string[]): (LoadAnswerObservation | LoadEndObservation)[] {
  const either = z.union([answerLine, endLine])
  return parseLines(bytes, file, either, notes).map(({ value, ref }) => {
    const base = { ref, node, netns: 'node' }
    return 'seq' in value ? { kind: 'load-answer', ...base, ...value } : { kind: 'load-end', ...base, ...value }
  })
}

/** `sightings.jsonl` of a node: tokens that were readable, once for each device. */
export function parseSightings(bytes: Uint8Array, file: string, node: string, notes: string[]): SightingObservation[] {
  return parseLines(bytes, file, sightingLine, notes).map(({ value, ref }) => ({ kind: 'sighting', ref, node, ...value }))
}

/** `timeline.jsonl` of a bundle: what happened to pods, as the API told it, and what the harness did to the cluster. */
export function parseTimeline(bytes: Uint8Array, file: string, notes: string[]): EventObservation[] {
  return parseLines(bytes, file, eventLine, notes).map(({ value, ref }) => ({ kind: 'event', ref, ...value }))
}
