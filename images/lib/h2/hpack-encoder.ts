import type { Field } from './hpack-decoder.ts'
import { staticTable } from './static-table.ts'

/** First entry of each name. */
const names = new Map<string, number>()
/** `name\nvalue`; no name holds a line end. */
const whole = new Map<string, number>()
for (const [i, [name, value]] of staticTable.entries()) {
  if (!names.has(name)) names.set(name, i + 1)
  whole.set(`${name}\n${value}`, i + 1)
}

/**
 * A header block (RFC 7541) that leaves the peer's table empty: entries of the static table, and literals without indexing or Huffman.
 * @param fields values of octets, each as one character
 * @param shrunk begins with a table of no octets, as a peer that allows less than the 4096 of old must be told (section 4.2)
 */
export function encodeHeaders(fields: Iterable<Field>, shrunk = false): Buffer {
  const parts: Buffer[] = []
  if (shrunk) parts.push(Buffer.of(0x20))
  for (const [name, value] of fields) {
    const index = whole.get(`${name}\n${value}`)
    if (index !== undefined) {
      parts.push(integer(0x80, 7, index))
      continue
    }
    const named = names.get(name)
    if (named === undefined) parts.push(Buffer.of(0), ...string(name))
    else parts.push(integer(0, 4, named))
    parts.push(...string(value))
  }
  return Buffer.concat(parts)
}

function string(text: string): [Buffer, Buffer] {
  const bytes = Buffer.from(text, 'latin1')
  return [integer(0, 7, bytes.length), bytes]
}

/** Section 5.1: `value` in the low `bits` of an octet whose high ones are `pattern`, and as many more as it needs. */
function integer(pattern: number, bits: number, value: number): Buffer {
  const max = (1 << bits) - 1
  if (value < max) return Buffer.of(pattern | value)
  const octets = [pattern | max]
  let rest = value - max
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) octets.push((rest & 0x7f) | 0x80)
  octets.push(rest)
  return Buffer.from(octets)
}
