import { endpoint4, endpoint6, mac } from './addresses.ts'
import { decodeEthernet, PacketFields, TCP, UDP } from './packet.ts'
import { PcapngReader } from './pcapng.ts'

/** The columns of `printPackets`, by their names in tshark (`-T fields -e …`), so that both can be compared. */
export const printedFields = [
  'frame.time_epoch',
  'frame.interface_name',
  'frame.packet_flags_direction',
  'eth.src',
  'eth.dst',
  'ip.src',
  'ip.dst',
  'ipv6.src',
  'ipv6.dst',
  'tcp.srcport',
  'tcp.dstport',
  'udp.srcport',
  'udp.dstport',
  'tcp.flags',
  'tcp.seq_raw',
  'tcp.ack_raw',
  'tcp.len',
] as const

const CHUNK = 1 << 20
/** A text is cut to this, and a line has two of them and fixed columns of less than as much again. */
const LONGEST_TEXT = 512
const TAB = 9
const NEWLINE = 10
const DIGIT = 48

/**
 * Prints every packet of a capture as a line of tab-separated fields, as `tshark -n -T fields` does. Columns that repeat from packet to packet are rendered once
 * and copied; numbers are written digit by digit: half a million lines of strings would cost more than reading the capture.
 * @param write takes each finished chunk at once; the memory is reused after it returns
 */
export function printPackets(bytes: Buffer, file: string, write: (chunk: Uint8Array) => void): void {
  const reader = new PcapngReader(bytes, file)
  const { view } = reader
  const fields = new PacketFields()
  const out = new Uint8Array(CHUNK + 3 * LONGEST_TEXT)
  const clock = new Clock()
  const links = new LinkTexts(reader)
  const flows = new FlowTexts(view)
  let at = 0
  while (reader.next()) {
    decodeEthernet(view, reader.dataOffset, reader.captured, reader.original, fields)
    clock.read(reader)
    out.set(clock.seconds, at)
    at += clock.seconds.length
    at = writeDigits(out, at, clock.nanos, 9)
    const link = links.get()
    out.set(link, at)
    at += link.length
    const flow = flows.get(fields)
    out.set(flow, at)
    at += flow.length
    if (fields.protocol === TCP && fields.sourcePort >= 0) {
      out[at++] = DIGIT
      out[at++] = 120 // x
      out[at++] = DIGIT
      out[at++] = DIGIT
      out[at++] = DIGIT + (fields.tcpFlags >> 4)
      out[at++] = hexDigit(fields.tcpFlags & 15)
      out[at++] = TAB
      at = writeDecimal(out, at, fields.seq)
      out[at++] = TAB
      at = writeDecimal(out, at, fields.ack)
      out[at++] = TAB
      at = writeDecimal(out, at, fields.payloadLength)
    } else {
      out[at++] = TAB
      out[at++] = TAB
      out[at++] = TAB
    }
    out[at++] = NEWLINE
    if (at >= CHUNK) {
      write(out.subarray(0, at))
      at = 0
    }
  }
  if (at > 0) write(out.subarray(0, at))
}

/** Seconds as text with the point, and nanoseconds. Exact; needs a BigInt only when the second changes. */
class Clock {
  seconds: Uint8Array = new Uint8Array(0)
  nanos = 0
  #startHigh = -1
  #startLow = 0

  read(reader: PcapngReader): void {
    const { timeHigh, timeLow } = reader
    const since = (timeHigh - this.#startHigh) * 0x1_0000_0000 + timeLow - this.#startLow
    const { unitsPerSecond, offsetSeconds } = reader.interfaces[reader.interfaceId]!
    const plain = unitsPerSecond === 1e9 && offsetSeconds === 0
    if (plain && this.#startHigh >= 0 && since >= 0 && since < 1e9) {
      this.nanos = since
      return
    }
    const all = reader.nanoseconds
    this.nanos = Number(all % 1_000_000_000n)
    this.seconds = latin1(`${all / 1_000_000_000n}.`)
    const start = (BigInt(timeHigh) << 32n) + BigInt(timeLow) - BigInt(this.nanos)
    this.#startHigh = plain ? Number(start >> 32n) : -1
    this.#startLow = Number(start & 0xffffffffn)
  }
}

/** Interface, direction and MAC addresses with tabs around them; the last text of each interface and direction is kept. */
class LinkTexts {
  readonly #reader: PcapngReader
  readonly #kept: { interfaces: unknown; a: number; b: number; c: number; text: Uint8Array }[] = []

  constructor(reader: PcapngReader) {
    this.#reader = reader
  }

  get(): Uint8Array {
    const { view, dataOffset, captured, interfaceId, interfaces, flags } = this.#reader
    const whole = captured >= 12
    const a = whole ? view.getUint32(dataOffset) : -1
    const b = whole ? view.getUint32(dataOffset + 4) : -1
    const c = whole ? view.getUint32(dataOffset + 8) : -1
    // Interface ids of a damaged or foreign file can be many; the table need not.
    const slot = (interfaceId & 0xff) * 4 + (flags & 3)
    const kept = this.#kept[slot]
    const link = interfaces[interfaceId]!
    if (kept && kept.interfaces === link && kept.a === a && kept.b === b && kept.c === c) return kept.text
    const addresses = whole ? `${mac(view, dataOffset + 6)}\t${mac(view, dataOffset)}` : '\t'
    const text = latin1(`\t${link.name.slice(0, LONGEST_TEXT / 2)}\t0x0000000${flags & 3}\t${addresses}\t`)
    this.#kept[slot] = { interfaces: link, a, b, c, text }
    return text
  }
}

const FLOW_SLOTS = 4096

/** IP addresses and ports with tabs behind them; kept by a hash of addresses and ports. */
class FlowTexts {
  readonly #view: DataView
  readonly #keys = new Int32Array(FLOW_SLOTS * 10)
  readonly #texts: Uint8Array[] = Array.from({ length: FLOW_SLOTS }, () => none)
  readonly #key = new Int32Array(10)

  constructor(view: DataView) {
    this.#view = view
  }

  get(fields: PacketFields): Uint8Array {
    const key = this.#key
    const view = this.#view
    const { ipVersion, networkOffset, sourcePort, destinationPort, protocol } = fields
    const words = ipVersion === 4 ? 2 : ipVersion === 6 ? 8 : 0
    const first = networkOffset + (ipVersion === 4 ? 12 : 8)
    key[0] = (ipVersion << 16) | (sourcePort < 0 ? 0x8000 : 0) | (protocol & 0x7fff)
    key[1] = (sourcePort << 16) | destinationPort
    let hash = key[0] ^ Math.imul(key[1], 0x9e3779b1)
    for (let i = 0; i < words; i++) {
      const word = view.getInt32(first + 4 * i)
      key[i + 2] = word
      hash = Math.imul(hash ^ word, 0x85ebca6b)
      hash ^= hash >>> 13
    }
    const slot = (hash ^ (hash >>> 16)) & (FLOW_SLOTS - 1)
    const base = slot * 10
    const keys = this.#keys
    let same = this.#texts[slot] !== none
    for (let i = 0; same && i < words + 2; i++) same = keys[base + i] === key[i]
    if (same) return this.#texts[slot]!
    for (let i = 0; i < words + 2; i++) keys[base + i] = key[i]!
    const text = latin1(flowText(view, fields))
    this.#texts[slot] = text
    return text
  }
}

const none = new Uint8Array(0)

function flowText(view: DataView, { ipVersion, networkOffset, sourcePort, destinationPort, protocol }: PacketFields): string {
  const addresses = ['', '', '', '']
  if (ipVersion === 4) {
    addresses[0] = endpoint4(view, networkOffset + 12, -1)
    addresses[1] = endpoint4(view, networkOffset + 16, -1)
  } else if (ipVersion === 6) {
    addresses[2] = endpoint6(view, networkOffset + 8, -1).slice(1, -1)
    addresses[3] = endpoint6(view, networkOffset + 24, -1).slice(1, -1)
  }
  const ports = sourcePort < 0 ? ['', ''] : [sourcePort, destinationPort]
  const columns = protocol === TCP ? [...ports, '', ''] : protocol === UDP ? ['', '', ...ports] : ['', '', '', '']
  return `${[...addresses, ...columns].join('\t')}\t`
}

function latin1(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'utf8'))
}

function hexDigit(value: number): number {
  return value < 10 ? DIGIT + value : 87 + value
}

/** The decimal digits of 0 … 9999, four bytes each: numbers are written four digits at a time. */
const FOUR = Uint8Array.from({ length: 40_000 }, (_, i) => DIGIT + (Math.floor(Math.floor(i / 4) / 10 ** (3 - (i % 4))) % 10))

/** Writes exactly so many digits (at most 9) of a number below 10⁹. */
function writeDigits(out: Uint8Array, at: number, value: number, digits: number): number {
  let end = at + digits
  let rest = value | 0
  while (end - at >= 4) {
    const next = (rest / 10_000) | 0
    const four = (rest - next * 10_000) * 4
    out[end - 1] = FOUR[four + 3]!
    out[end - 2] = FOUR[four + 2]!
    out[end - 3] = FOUR[four + 1]!
    out[end - 4] = FOUR[four]!
    rest = next
    end -= 4
  }
  while (end > at) {
    const next = (rest / 10) | 0
    out[--end] = DIGIT + rest - next * 10
    rest = next
  }
  return at + digits
}

/** Writes a number below 10¹⁸ without leading zeros. */
function writeDecimal(out: Uint8Array, at: number, value: number): number {
  if (value >= 1e9) {
    const high = Math.floor(value / 1e9)
    return writeDigits(out, writeDecimal(out, at, high), value - high * 1e9, 9)
  }
  let digits = 1
  for (let limit = 10; value >= limit; limit *= 10) digits++
  return writeDigits(out, at, value, digits)
}
