import { EvidenceError, takeAgain } from './error.ts'

/**
 * Reads pcapng (draft-ietf-opsawg-pcapng) from memory with one reusable cursor: no object per packet.
 * Understood: section header (either byte order, several sections), interface description (if_name, if_tsresol, if_tsoffset), enhanced packet (flags, comment).
 * Other blocks are skipped; packet blocks without a time or interface (simple, obsolete) are refused, because they are no evidence.
 */
const SECTION_HEADER = 0x0a0d0d0a
const BYTE_ORDER_MAGIC = 0x1a2b3c4d
const INTERFACE_DESCRIPTION = 1
const OBSOLETE_PACKET = 2
const SIMPLE_PACKET = 3
const ENHANCED_PACKET = 6
const OPTION_COMMENT = 1
const OPTION_EPB_FLAGS = 2
const OPTION_IF_NAME = 2
const OPTION_IF_TSRESOL = 9
const OPTION_IF_TSOFFSET = 14
/** What Wireshark refuses too: a bigger block means that its length is damaged. */
const LONGEST_BLOCK = 16 << 20

export interface CaptureInterface {
  /** if_name; empty when the file gives none. */
  readonly name: string
  /** LINKTYPE_…, 1 is Ethernet. */
  readonly linktype: number
  /** Timestamp units per second. */
  readonly unitsPerSecond: number
  /** Seconds to add to every timestamp. */
  readonly offsetSeconds: number
}

export class PcapngReader {
  readonly bytes: Buffer
  readonly view: DataView
  /** Interfaces of the current section, by id. */
  interfaces: CaptureInterface[] = []
  /** The file ends inside a block: a run that was killed while writing. Known once `next()` has returned false. */
  truncated = false
  /** Where the cut block begins, else where the file ends. */
  end: number

  /** The current packet: its number in the file, from 0. */
  index = -1
  /** Byte of the file where its block begins. */
  blockOffset = 0
  /** Bytes of its block, head and tail included. */
  blockLength = 0
  interfaceId = 0
  /** Timestamp units, two halves. */
  timeHigh = 0
  timeLow = 0
  /** Byte of the file where the captured data begins. */
  dataOffset = 0
  /** Bytes captured, bytes on the wire. */
  captured = 0
  original = 0
  /** epb_flags: the low two bits are 0 unknown, 1 in, 2 out. */
  flags = 0

  readonly #file: string
  #little = true
  #offset = 0
  #section = false
  #optionsOffset = 0

  /** @param file name for error messages */
  constructor(bytes: Buffer, file: string) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.end = bytes.length
    this.#file = file
  }

  /** Goes to the next packet; false at the end. Throws EvidenceError where the file is malformed. */
  next(): boolean {
    const { view } = this
    const size = view.byteLength
    for (;;) {
      const at = this.#offset
      if (at >= size) return false
      if (at + 12 > size) return this.#cut(at)
      const type = view.getUint32(at, this.#little)
      if (type === SECTION_HEADER) this.#readByteOrder(at)
      else if (!this.#section) throw this.#malformed(at, 'this is not a pcapng file: it does not begin with a section header')
      const total = view.getUint32(at + 4, this.#little)
      if (total < 12 || (total & 3) !== 0 || total > LONGEST_BLOCK)
        throw this.#malformed(at, `block type ${type} has the impossible length ${total}`)
      if (at + total > size) return this.#cut(at)
      if (view.getUint32(at + total - 4, this.#little) !== total) throw this.#malformed(at, `block type ${type} has two different lengths`)
      this.#offset = at + total
      if (type === ENHANCED_PACKET) {
        this.blockLength = total
        this.#readPacket(at, at + total - 4)
        return true
      }
      if (type === SECTION_HEADER) this.#readSection(at, total)
      else if (type === INTERFACE_DESCRIPTION) this.#readInterface(at, at + total - 4)
      else if (type === SIMPLE_PACKET || type === OBSOLETE_PACKET) {
        throw this.#malformed(at, `packet block type ${type} does not tell time and interface as an enhanced packet block does`)
      }
    }
  }

  /** The current packet's time, wall clock in microseconds since 1970. */
  get microseconds(): number {
    const link = this.interfaces[this.interfaceId]!
    const scale = link.unitsPerSecond / 1e6
    return (this.timeHigh * 0x1_0000_0000) / scale + this.timeLow / scale + link.offsetSeconds * 1e6
  }

  /** The current packet's time, exact to the nanosecond. */
  get nanoseconds(): bigint {
    const link = this.interfaces[this.interfaceId]!
    const units = (BigInt(this.timeHigh) << 32n) | BigInt(this.timeLow)
    return (units * 1_000_000_000n) / BigInt(link.unitsPerSecond) + BigInt(link.offsetSeconds) * 1_000_000_000n
  }

  /** The current packet's opt_comment. */
  get comment(): string | undefined {
    const end = this.blockOffset + this.view.getUint32(this.blockOffset + 4, this.#little) - 4
    let found: string | undefined
    this.#options(this.#optionsOffset, end, (code, at, length) => {
      if (code === OPTION_COMMENT) found = this.bytes.toString('utf8', at, at + length)
    })
    return found
  }

  #cut(at: number): false {
    this.truncated = true
    this.end = at
    this.#offset = this.view.byteLength
    return false
  }

  #readByteOrder(at: number): void {
    this.#little = true
    const magic = this.view.getUint32(at + 8, true)
    if (magic === BYTE_ORDER_MAGIC) return
    if (this.view.getUint32(at + 8, false) !== BYTE_ORDER_MAGIC)
      throw this.#malformed(at, 'a section header without the byte-order magic 0x1a2b3c4d')
    this.#little = false
  }

  #readSection(at: number, total: number): void {
    if (total < 28) throw this.#malformed(at, `a section header of ${total} bytes`)
    const major = this.view.getUint16(at + 12, this.#little)
    if (major !== 1) throw this.#malformed(at, `pcapng version ${major}, only 1 is known`)
    this.#section = true
    this.interfaces = []
  }

  #readInterface(at: number, end: number): void {
    if (end - at < 16) throw this.#malformed(at, 'an interface description that is too short')
    let name = ''
    let unitsPerSecond = 1e6
    let offsetSeconds = 0
    this.#options(at + 16, end, (code, value, length) => {
      if (code === OPTION_IF_NAME) name = this.bytes.toString('utf8', value, value + length)
      else if (code === OPTION_IF_TSRESOL && length === 1) {
        const resolution = this.view.getUint8(value)
        const power = resolution & 0x7f
        if (power > (resolution & 0x80 ? 32 : 9)) throw this.#malformed(at, `timestamps finer than nanoseconds (if_tsresol ${resolution})`)
        unitsPerSecond = (resolution & 0x80 ? 2 : 10) ** power
      } else if (code === OPTION_IF_TSOFFSET && length === 8) offsetSeconds = Number(this.view.getBigInt64(value, this.#little))
    })
    this.interfaces.push({ name, linktype: this.view.getUint16(at + 8, this.#little), unitsPerSecond, offsetSeconds })
  }

  #readPacket(at: number, end: number): void {
    const { view } = this
    const little = this.#little
    if (end - at < 28) throw this.#malformed(at, 'a packet block that is too short')
    const captured = view.getUint32(at + 20, little)
    const optionsOffset = at + 28 + ((captured + 3) & ~3)
    if (captured > end - at - 28 || optionsOffset > end)
      throw this.#malformed(at, `a packet block of ${end + 4 - at} bytes that claims ${captured} captured bytes`)
    this.interfaceId = view.getUint32(at + 8, little)
    if (this.interfaceId >= this.interfaces.length) {
      throw this.#malformed(at, `a packet of interface ${this.interfaceId}, but only ${this.interfaces.length} are described before it`)
    }
    this.index++
    this.blockOffset = at
    this.timeHigh = view.getUint32(at + 12, little)
    this.timeLow = view.getUint32(at + 16, little)
    this.dataOffset = at + 28
    this.captured = captured
    this.original = view.getUint32(at + 24, little)
    this.#optionsOffset = optionsOffset
    this.flags = 0
    // Not through #options: a closure for each packet costs more than the rest of this method.
    for (let o = optionsOffset; o + 4 <= end; ) {
      const code = view.getUint16(o, little)
      const length = view.getUint16(o + 2, little)
      if (code === 0) break
      if (o + 4 + length > end) throw this.#malformed(at, `option ${code} reaches beyond its block`)
      if (code === OPTION_EPB_FLAGS && length === 4) this.flags = view.getUint32(o + 4, little)
      o += 4 + ((length + 3) & ~3)
    }
  }

  #options(from: number, end: number, each: (code: number, at: number, length: number) => void): void {
    for (let o = from; o + 4 <= end; ) {
      const code = this.view.getUint16(o, this.#little)
      const length = this.view.getUint16(o + 2, this.#little)
      if (code === 0) return
      if (o + 4 + length > end) throw this.#malformed(from, `option ${code} reaches beyond its block`)
      each(code, o + 4, length)
      o += 4 + ((length + 3) & ~3)
    }
  }

  #malformed(at: number, problem: string): EvidenceError {
    return new EvidenceError(this.#file, `byte 0x${at.toString(16)}`, problem, takeAgain)
  }
}
