import type { z } from 'zod'
import { EvidenceError, takeAgain } from './error.ts'

/** A line of a JSONL file, checked. `ref` points at it. */
export interface Line<T> {
  readonly value: T
  readonly ref: string
}

/**
 * Parses a JSONL file. A last line without its newline that is no whole JSON value is what a killed run leaves: it is left out and told in `notes`.
 * Throws EvidenceError naming file and line where a line is not what `schema` says.
 */
export function parseLines<T>(bytes: Uint8Array, file: string, schema: z.ZodType<T>, notes: string[]): Line<T>[] {
  const text = decodeText(bytes, file)
  const lines: Line<T>[] = []
  for (let at = 0, number = 1; at < text.length; number++) {
    const newline = text.indexOf('\n', at)
    const end = newline < 0 ? text.length : newline
    const line = text.slice(at, end)
    at = end + 1
    if (line.trim() === '') continue
    const value = parseJson(line)
    if (value === undefined && newline < 0) {
      notes.push(`${file}: its last line was not finished and is left out (${line.length} characters)`)
      break
    }
    if (value === undefined) throw new EvidenceError(file, `line ${number}`, `no JSON: ${excerpt(line)}`, takeAgain)
    lines.push({ value: check(value, schema, file, `line ${number}`), ref: `${file}#L${number}` })
  }
  return lines
}

/** Parses a JSON file. Throws EvidenceError; `cut` tells whether the text merely ended too early, as a killed run leaves it. */
export function parseJsonFile<T>(bytes: Uint8Array, file: string, schema: z.ZodType<T>): T {
  const text = decodeText(bytes, file)
  const value = parseJson(text)
  if (value === undefined) throw new EvidenceError(file, '', `no JSON: ${excerpt(text) || 'it is empty'}`, takeAgain)
  return check(value, schema, file, '')
}

/** Whether a JSON text is the beginning of one, and no more: what is left when its writer was killed. */
export function endsEarly(bytes: Uint8Array): boolean {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
  try {
    JSON.parse(text)
    return false
  } catch (error) {
    const message = (error as Error).message
    const position = /at position (\d+)/.exec(message)
    return position
      ? Number(position[1]) >= text.trimEnd().length || message.startsWith('Unterminated')
      : message.startsWith('Unexpected end')
  }
}

/** Bytes as UTF-8 text. Throws EvidenceError when they are too many. */
export function decodeText(bytes: Uint8Array, file: string): string {
  try {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
  } catch {
    throw new EvidenceError(file, '', `${bytes.length} bytes are more than a text can have`, 'Split the run into smaller ones')
  }
}

/** undefined: no JSON (which has no such value itself). */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function check<T>(value: unknown, schema: z.ZodType<T>, file: string, place: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const path = issue?.path.map(String).join('.')
  throw new EvidenceError(file, place, `${path ? `${path}: ` : ''}${issue?.message ?? 'not as it should be'}`, takeAgain)
}

export function excerpt(text: string): string {
  const line = text.slice(0, 80).replaceAll(/\s+/g, ' ').trim()
  return text.length > 80 ? `${line}…` : line
}
