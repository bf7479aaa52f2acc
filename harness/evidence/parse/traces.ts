import { z } from 'zod'
import type { TraceObservation } from '../observation.ts'
import { stamped } from './events.ts'
import { parseLines } from './jsonl.ts'
import { legacyVerdict, marksAfter } from './legacy-traces.ts'
import { decodeIp, destination, flagsText, PacketFields, protocolName, source } from './packet.ts'
import type { RuleTexts } from './rule-texts.ts'

const hex = z.string().regex(/^(?:[0-9a-f]{2})*$/, 'must be bytes in lower-case hex')
const traceLine = z.object({
  ...stamped,
  traceId: z.string(),
  family: z.enum(['ip', 'ip6', 'inet']),
  table: z.string(),
  chain: z.string(),
  type: z.enum(['rule', 'return', 'policy']),
  handle: z.int().min(0).optional(),
  backend: z.literal('legacy').optional(),
  number: z.int().min(1).optional(),
  verdict: z.string(),
  mark: z.int().min(0),
  iif: z.string().optional(),
  oif: z.string().optional(),
  nh: hex.optional(),
  th: hex.optional(),
})

type Packet = Pick<TraceObservation, 'protocol' | 'from' | 'to' | 'flags' | 'seq' | 'iif' | 'oif'>

/** A traced packet's observation, with the transport header's bytes for whoever looks for a marker. */
export interface ParsedTrace {
  readonly observation: TraceObservation
  /** Only with the first line of a walk: up to 20 bytes. */
  readonly transport: Uint8Array | undefined
}

const unknown: Packet = { protocol: 'other', from: '', to: '', flags: '', seq: 0 }

/**
 * `traces.jsonl` of a node. The kernel sends a packet's headers and interfaces only with the first line of each base chain's walk; the lines that follow with the same id in
 * the same namespace are of that packet, until the next line with headers. Lines whose walk's first line is missing have empty `from` and `to`, and are counted in `notes`.
 */
export function parseTraces(bytes: Uint8Array, file: string, node: string, rules: RuleTexts, notes: string[]): ParsedTrace[] {
  const walks = new Map<string, Packet>()
  let headless = 0
  const lines = parseLines(bytes, file, traceLine, notes)
  const marks = marksAfter(lines.map(({ value }) => value))
  const found = lines.map(({ value, ref }, index): ParsedTrace => {
    const { nh, th, iif, oif, handle, backend, number, ...line } = value
    const walk = `${line.netns} ${line.traceId}`
    const network = nh === undefined ? undefined : Buffer.from(nh, 'hex')
    const transport = th === undefined ? undefined : Buffer.from(th, 'hex')
    if (network)
      walks.set(walk, { ...decodeHeaders(network, transport ?? Buffer.alloc(0)), ...(iif ? { iif } : {}), ...(oif ? { oif } : {}) })
    const packet = walks.get(walk)
    if (!packet) headless++
    const place = { node, ...line, backend }
    const known = backend === 'legacy' && line.type !== 'policy' ? number : handle
    const rule = known === undefined ? undefined : rules.find({ ...place, handle: known })
    const policy = backend === 'legacy' && line.type === 'policy' ? rules.find({ ...place, handle: 'policy' }) : undefined
    return {
      observation: {
        kind: 'trace',
        ref,
        node,
        ...line,
        ...(handle === undefined ? {} : { handle }),
        ...(backend === undefined ? {} : { backend, mark: marks[index]!, verdict: legacyVerdict(line, rule, policy) }),
        ...(number === undefined ? {} : { number }),
        ...(rule === undefined ? {} : { rule }),
        ...(packet ?? { ...unknown, ...(iif ? { iif } : {}), ...(oif ? { oif } : {}) }),
      },
      transport: network ? transport : undefined,
    }
  })
  if (headless > 0) notes.push(`${file}: ${headless} lines are of walks whose first line is missing, so their packets are not known`)
  return found
}

const fields = new PacketFields()

/** The kernel sends at most 40 bytes of the network header and at most 20 of the transport header. They join up only if the first was not cut. */
function decodeHeaders(network: Buffer, transport: Buffer): Packet {
  const whole = network.length === ((network[0] ?? 0) >> 4 === 4 ? (network[0]! & 15) * 4 : 40)
  const bytes = whole ? Buffer.concat([network, transport]) : network
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  decodeIp(view, 0, bytes.length, Number.MAX_SAFE_INTEGER, fields)
  return {
    protocol: protocolName(fields.protocol),
    from: source(view, fields),
    to: destination(view, fields),
    flags: flagsText(fields.tcpFlags),
    seq: fields.seq,
  }
}
