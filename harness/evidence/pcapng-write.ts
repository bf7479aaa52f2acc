/**
 * Writes pcapng (draft-ietf-opsawg-pcapng): one little-endian section, nanosecond timestamps. Every method returns finished blocks to append; nothing is kept
 * but the number of interfaces, so a file that ends in the middle of a run is whole up to its last block.
 */
const SECTION_HEADER = 0x0a0d0d0a
const INTERFACE_DESCRIPTION = 1
const ENHANCED_PACKET = 6
const BYTE_ORDER_MAGIC = 0x1a2b3c4d
const OPTION_COMMENT = 1
const OPTION_IF_NAME = 2
const OPTION_EPB_FLAGS = 2
const OPTION_SHB_USERAPPL = 4
const OPTION_IF_TSRESOL = 9

export interface PcapngPacket {
  /** As `interface()` gave it. */
  readonly interfaceId: number
  /** Nanoseconds since 1970. */
  readonly tNs: bigint
  /** Captured bytes, from the link-layer header on. */
  readonly data: Uint8Array
  /** Length on the wire. */
  readonly originalLength: number
  /** As the interface saw it. */
  readonly direction?: 'in' | 'out'
  /** opt_comment: shown by Wireshark above the packet. */
  readonly comment?: string
}

export class PcapngWriter {
  #interfaces = 0

  /** The section header: first bytes of a file. */
  header(): Buffer {
    const options = optionList([[OPTION_SHB_USERAPPL, Buffer.from('everyhop')]])
    const body = Buffer.alloc(16)
    body.writeUInt32LE(BYTE_ORDER_MAGIC, 0)
    body.writeUInt16LE(1, 4)
    body.writeUInt16LE(0, 6)
    // Section length -1: not known, because the file grows.
    body.writeBigInt64LE(-1n, 8)
    return block(SECTION_HEADER, [body, options])
  }

  /**
   * Describes one more interface. Its block must be in the file before its first packet.
   * @param name as it shall be shown, `node/netns/dev`
   * @param linktype LINKTYPE_ETHERNET by default
   */
  interface(name: string, linktype = 1): { readonly id: number; readonly block: Buffer } {
    const body = Buffer.alloc(8)
    body.writeUInt16LE(linktype, 0)
    const options = optionList([
      [OPTION_IF_NAME, Buffer.from(name)],
      [OPTION_IF_TSRESOL, Buffer.of(9)],
    ])
    return { id: this.#interfaces++, block: block(INTERFACE_DESCRIPTION, [body, options]) }
  }

  /** One packet. Throws RangeError when its interface was not described. */
  packet(packet: PcapngPacket): Buffer {
    const { interfaceId, data } = packet
    if (!(interfaceId >= 0 && interfaceId < this.#interfaces)) {
      throw new RangeError(`packet of interface ${interfaceId}, but only ${this.#interfaces} were described: call interface() first`)
    }
    const comment = packet.comment === undefined ? undefined : Buffer.from(packet.comment)
    const padded = pad4(data.length)
    const commentLength = comment ? 4 + pad4(comment.length) : 0
    const flagsLength = packet.direction ? 8 : 0
    const endLength = commentLength + flagsLength > 0 ? 4 : 0
    const total = 32 + padded + commentLength + flagsLength + endLength
    const out = Buffer.alloc(total)
    out.writeUInt32LE(ENHANCED_PACKET, 0)
    out.writeUInt32LE(total, 4)
    out.writeUInt32LE(interfaceId, 8)
    out.writeUInt32LE(Number(packet.tNs >> 32n), 12)
    out.writeUInt32LE(Number(packet.tNs & 0xffffffffn), 16)
    out.writeUInt32LE(data.length, 20)
    out.writeUInt32LE(packet.originalLength, 24)
    out.set(data, 28)
    let at = 28 + padded
    if (comment) at = writeOption(out, at, OPTION_COMMENT, comment)
    if (packet.direction) {
      const flags = Buffer.alloc(4)
      flags.writeUInt32LE(packet.direction === 'in' ? 1 : 2)
      writeOption(out, at, OPTION_EPB_FLAGS, flags)
    }
    // opt_endofopt is four zero bytes, already there.
    out.writeUInt32LE(total, total - 4)
    return out
  }
}

function pad4(length: number): number {
  return (length + 3) & ~3
}

function writeOption(out: Buffer, at: number, code: number, value: Buffer): number {
  if (value.length > 0xffff) throw new RangeError(`option ${code} has ${value.length} bytes; pcapng allows 65535`)
  out.writeUInt16LE(code, at)
  out.writeUInt16LE(value.length, at + 2)
  value.copy(out, at + 4)
  return at + 4 + pad4(value.length)
}

function optionList(options: readonly (readonly [number, Buffer])[]): Buffer {
  const out = Buffer.alloc(options.reduce((sum, [, value]) => sum + 4 + pad4(value.length), 4))
  options.reduce((at, [code, value]) => writeOption(out, at, code, value), 0)
  return out
}

function block(type: number, parts: readonly Buffer[]): Buffer {
  const total = parts.reduce((sum, part) => sum + part.length, 12)
  const head = Buffer.alloc(8)
  head.writeUInt32LE(type, 0)
  head.writeUInt32LE(total, 4)
  const tail = Buffer.alloc(4)
  tail.writeUInt32LE(total, 0)
  return Buffer.concat([head, ...parts, tail])
}
