import { HpackError, huffmanDecode } from './huffman.ts'
import { staticTable } from './static-table.ts'

export type Field = readonly [name: string, value: string]

/** What an entry costs beside its octets (RFC 7541, section 4.1; RFC 9113, section 6.5.2 counts header lists so too). */
const overhead = 32
const maxInteger = 0x7fffffff

/** The receiving half of a connection's header compression (RFC 7541). Its table never holds more than `limit` octets. */
export class HpackDecoder {
  readonly #limit: number
  readonly #maxList: number
  /** Oldest first. */
  readonly #table: Field[] = []
  #size = 0
  #capacity: number
  #block: Buffer = Buffer.alloc(0)
  #at = 0

  /** @param maxList octets of a header list as RFC 9113 counts them @param limit what SETTINGS_HEADER_TABLE_SIZE told the peer */
  constructor(maxList: number, limit = 4096) {
    this.#maxList = maxList
    this.#limit = limit
    this.#capacity = limit
  }

  /**
   * Reads one whole block; the table follows.
   * @returns undefined if the list is longer than allowed: the table is right nevertheless
   * @throws HpackError the connection cannot go on
   */
  decode(block: Buffer): Field[] | undefined {
    this.#block = block
    this.#at = 0
    let fields: Field[] | undefined = []
    let list = 0
    let begun = false
    while (this.#at < block.length) {
      const first = block[this.#at]!
      if ((first & 0xe0) === 0x20) {
        if (begun) throw new HpackError('the table is resized in the middle of a block')
        this.#resize(this.#integer(5))
        continue
      }
      begun = true
      const field = first & 0x80 ? this.#entry(this.#integer(7)) : this.#literal(first)
      list += sizeOf(field)
      if (list > this.#maxList) fields = undefined
      fields?.push(field)
    }
    this.#block = Buffer.alloc(0)
    return fields
  }

  #literal(first: number): Field {
    const indexed = (first & 0x40) !== 0
    const index = this.#integer(indexed ? 6 : 4)
    const name = index > 0 ? this.#entry(index)[0] : this.#string()
    const field = [name, this.#string()] as const
    if (indexed) this.#add(field)
    return field
  }

  #entry(index: number): Field {
    const found = index <= staticTable.length ? staticTable[index - 1] : this.#table[this.#table.length - (index - staticTable.length)]
    if (!found) throw new HpackError(`there is no table entry ${index}`)
    return found
  }

  #add(field: Field): void {
    this.#table.push(field)
    this.#size += sizeOf(field)
    this.#evict()
  }

  #resize(capacity: number): void {
    if (capacity > this.#limit) throw new HpackError(`a table of ${capacity} octets, ${this.#limit} are allowed`)
    this.#capacity = capacity
    this.#evict()
  }

  #evict(): void {
    let n = 0
    while (this.#size > this.#capacity) this.#size -= sizeOf(this.#table[n++]!)
    if (n > 0) this.#table.splice(0, n)
  }

  /** Section 5.1. */
  #integer(bits: number): number {
    const max = (1 << bits) - 1
    let value = this.#octet() & max
    if (value < max) return value
    for (let shift = 0; ; shift += 7) {
      const octet = this.#octet()
      value += (octet & 0x7f) * 2 ** shift
      if (value > maxInteger || shift > 28) throw new HpackError('an integer is too large')
      if ((octet & 0x80) === 0) return value
    }
  }

  #octet(): number {
    const octet = this.#block[this.#at++]
    if (octet === undefined) throw new HpackError('the block ends too early')
    return octet
  }

  #string(): string {
    const huffman = ((this.#block[this.#at] ?? 0) & 0x80) !== 0
    const length = this.#integer(7)
    const start = this.#at
    this.#at += length
    if (this.#at > this.#block.length) throw new HpackError('a string is longer than its block')
    return huffman ? huffmanDecode(this.#block.subarray(start, this.#at)) : this.#block.toString('latin1', start, this.#at)
  }
}

const sizeOf = ([name, value]: Field) => name.length + value.length + overhead
