import { z } from 'zod'
import type { ServedObservation, ZtunnelLogObservation } from '../observation.ts'
import { parseLines } from './jsonl.ts'

const logLine = z.object({
  t: z.number(),
  pod: z.string().min(1),
  namespace: z.string().min(1),
  container: z.string(),
  stream: z.string(),
  line: z.string(),
})

const served = z.object({
  event: z.literal('served'),
  protocol: z.enum(['http', 'http2', 'tcp', 'udp']),
  peer: z.string(),
  local: z.string(),
  body: z.string(),
  bytes: z.int().min(0).optional(),
  sha256: z.string().optional(),
})

/**
 * `logs.jsonl` of a node: ztunnel's lines (pods of the DaemonSet `ztunnel`) and what httpbin served. A log is free text: other lines are nobody's observation.
 * ztunnel's lines carry their own time; httpbin's have that of the container runtime.
 */
export function parseLogs(bytes: Uint8Array, file: string, node: string, notes: string[]): (ZtunnelLogObservation | ServedObservation)[] {
  const found: (ZtunnelLogObservation | ServedObservation)[] = []
  for (const { value, ref } of parseLines(bytes, file, logLine, notes)) {
    const base = { ref, node, netns: `${value.namespace}.${value.pod}` }
    if (/^ztunnel(-|$)/.test(value.pod)) {
      const line = parseZtunnelLine(value.line)
      if (line) found.push({ kind: 'ztunnel-log', ...base, ...line })
    } else if (value.line.startsWith('{')) {
      const line = served.safeParse(tryJson(value.line))
      if (!line.success) continue
      const { event: _, ...told } = line.data
      found.push({ kind: 'served', ...base, t: value.t, ...told })
    }
  }
  return found
}

type ZtunnelLine = Pick<ZtunnelLogObservation, 't' | 'level' | 'target' | 'message' | 'fields'>

/**
 * A line of ztunnel's log, undefined for anything else (a panic's text). Plain form: `TIME⇥LEVEL⇥TARGET⇥MESSAGE⇥key=value key="value"`, without `MESSAGE⇥` where there is none; JSON form
 * (LOG_FORMAT=json): one object with `level`, `time`, `scope`, `message` and the same keys.
 */
export function parseZtunnelLine(line: string): ZtunnelLine | undefined {
  if (line.startsWith('{')) return parseJsonForm(line)
  const [time = '', level, target, message, ...rest] = line.trimEnd().split('\t')
  const t = microseconds(time)
  if (t === undefined || level === undefined || target === undefined || message === undefined) return undefined
  const alone = rest.length === 0 && message !== '' ? parseFields(message) : undefined
  if (alone) return { t, level, target, message: '', fields: alone }
  const fields = parseFields(rest.join('\t'))
  // Text that is no list of fields belongs to the message.
  return fields ? { t, level, target, message, fields } : { t, level, target, message: [message, ...rest].join('\t'), fields: {} }
}

function parseJsonForm(line: string): ZtunnelLine | undefined {
  const value = tryJson(line)
  if (typeof value !== 'object' || value === null) return undefined
  const { level, time, scope, message, ...others } = value as Record<string, unknown>
  const t = typeof time === 'string' ? microseconds(time) : undefined
  if (t === undefined || typeof level !== 'string' || typeof scope !== 'string') return undefined
  const fields = Object.entries(others).map(([key, field]) => [key, typeof field === 'string' ? field : JSON.stringify(field)] as const)
  return { t, level, target: scope, message: typeof message === 'string' ? message : '', fields: Object.fromEntries(fields) }
}

const FIELD = /([^\s="]+)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?: +|$)/y

/** `key=value` pairs with single spaces between; undefined when the text is something else. */
function parseFields(text: string): Record<string, string> | undefined {
  const fields: [string, string][] = []
  FIELD.lastIndex = 0
  while (FIELD.lastIndex < text.length) {
    const match = FIELD.exec(text)
    if (!match) return undefined
    const value = match[2]!
    fields.push([match[1]!, value.startsWith('"') ? unquote(value.slice(1, -1)) : value])
  }
  return Object.fromEntries(fields)
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '0': '\0' }

/** Undoes the escapes of Rust's debug form of strings. */
function unquote(text: string): string {
  return text.replaceAll(/\\(?:u\{([0-9a-fA-F]{1,6})\}|(.))/gs, (whole, hex: string | undefined, letter: string | undefined) => {
    if (hex === undefined) return ESCAPES[letter!] ?? letter!
    const code = Number.parseInt(hex, 16)
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole
  })
}

/** RFC 3339 time as microseconds since 1970. */
export function microseconds(text: string): number | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text)
  if (!match) return undefined
  const seconds = Date.parse(`${match[1]}${match[3]}`)
  return Number.isNaN(seconds) ? undefined : seconds * 1000 + Number((match[2] ?? '').padEnd(9, '0')) / 1000
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
