import { z } from 'zod'
import type { ConntrackObservation, LossObservation, SocketObservation } from '../observation.ts'
import { parseLines } from './jsonl.ts'

/** What every line of the streams has. */
export const stamped = { t: z.number(), netns: z.string().min(1) }
const tuple = z.object({ from: z.string(), to: z.string() })
const protocol = z.enum(['tcp', 'udp', 'icmp', 'other'])

const conntrackLine = z.object({
  ...stamped,
  event: z.enum(['new', 'update', 'destroy', 'entry']),
  protocol,
  orig: tuple,
  reply: tuple,
  mark: z.int().min(0),
  zone: z.int().min(0),
  status: z.int().min(0),
})
const socketLine = z.object({ ...stamped, local: z.string(), peer: z.string(), mark: z.int().min(0), uid: z.int() })
const statsLine = z.object({
  ...stamped,
  stream: z.enum(['packets', 'traces', 'conntrack', 'sockets', 'logs']),
  lost: z.number().min(0),
  truncated: z.object({ packets: z.int().min(0), bytes: z.int().min(0) }).optional(),
})
const markLine = z.object({ t: z.number(), id: z.string() })
const interfaceLine = z.object({
  ...stamped,
  index: z.int(),
  dev: z.string(),
  mac: z.string(),
  addresses: z.array(z.string()),
  kind: z.string().optional(),
  peerIndex: z.int().optional(),
})

/** A line of `interfaces.jsonl`: what is known of an interface from `t` on. */
export type InterfaceLine = z.infer<typeof interfaceLine>
/** A line of `markers.jsonl`: the collector was told to send this marker. */
export type MarkLine = z.infer<typeof markLine>

/** `conntrack.jsonl` of a node. */
export function parseConntrack(bytes: Uint8Array, file: string, node: string, notes: string[]): ConntrackObservation[] {
  return parseLines(bytes, file, conntrackLine, notes).map(({ value, ref }) => ({ kind: 'conntrack', ref, node, ...value }))
}

/** `sockets.jsonl` of a node. */
export function parseSockets(bytes: Uint8Array, file: string, node: string, notes: string[]): SocketObservation[] {
  return parseLines(bytes, file, socketLine, notes).map(({ value, ref }) => ({ kind: 'socket', ref, node, ...value }))
}

/** `stats.jsonl` of a node. */
export function parseLosses(bytes: Uint8Array, file: string, node: string, notes: string[]): LossObservation[] {
  return parseLines(bytes, file, statsLine, notes).map(({ value, ref }) => ({ kind: 'loss', ref, node, ...value }))
}

/** `markers.jsonl` of a node: what was sent, not what was seen. */
export function parseMarks(bytes: Uint8Array, file: string, notes: string[]): MarkLine[] {
  return parseLines(bytes, file, markLine, notes).map(({ value }) => value)
}

/** `interfaces.jsonl` of a node. */
export function parseInterfaces(bytes: Uint8Array, file: string, notes: string[]): InterfaceLine[] {
  return parseLines(bytes, file, interfaceLine, notes).map(({ value }) => value)
}
