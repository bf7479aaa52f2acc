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
/** No line is longer: an if_name is cut to fit. */
const LONGEST_LINE = 1024
const TAB = 9
const NEWLINE = 10
const DOT = 46
const DIGIT = 48

/**
 * Prints every packet of a capture as a line of tab-separated fields, as `tshark -n -T fields` does. Bytes are written straight into a buffer, because
 * half a million lines of strings cost more than reading the capture.
 * @param write takes each finished chunk at once; the memory is reused after it returns
 */
export function printPackets(bytes: Buffer, file: string, write: (chunk: Uint8Array) => void): void {
  const reader = new PcapngReader(bytes, file)
  const { view } = reader
  const fields = new PacketFields()
  const out = Buffer.allocUnsafe(CHUNK + LONGEST_LINE)
  const clock = new Clock()
  let at = 0
  const text = (value: string) => {
    for (let i = 0; i < value.length; i++) out[at++] = value.charCodeAt(i)
  }
  const number = (value: number, digits: number) => {
    for (let i = at + digits - 1, rest = value; i >= at; i--) {
      const next = Math.floor(rest / 10)
      out[i] = DIGIT + rest - next * 10
      rest = next
    }
    at += digits
  }
  const decimal = (value: number) => {
    let digits = 1
    for (let limit = 10; value >= limit; limit *= 10) digits++
    number(value, digits)
  }
  const port = (value: number, shown: boolean) => {
    if (shown && value >= 0) decimal(value)
    out[at++] = TAB
  }
  while (reader.next()) {
    const { dataOffset } = reader
    const link = reader.interfaces[reader.interfaceId]!
    decodeEthernet(view, dataOffset, reader.captured, reader.original, fields)
    clock.read(reader)
    decimal(clock.seconds)
    out[at++] = DOT
    number(clock.nanos, 9)
    out[at++] = TAB
    text(link.name.length > 512 ? link.name.slice(0, 512) : link.name)
    text('\t0x0000000')
    out[at++] = DIGIT + (reader.flags & 3)
    out[at++] = TAB
    if (reader.captured >= 12) text(mac(view, dataOffset + 6))
    out[at++] = TAB
    if (reader.captured >= 12) text(mac(view, dataOffset))
    out[at++] = TAB
    const { networkOffset, ipVersion, protocol } = fields
    if (ipVersion === 4) {
      text(endpoint4(view, networkOffset + 12, -1))
      out[at++] = TAB
      text(endpoint4(view, networkOffset + 16, -1))
      text('\t\t\t')
    } else if (ipVersion === 6) {
      text('\t\t')
      text(endpoint6(view, networkOffset + 8, -1).slice(1, -1))
      out[at++] = TAB
      text(endpoint6(view, networkOffset + 24, -1).slice(1, -1))
      out[at++] = TAB
    } else text('\t\t\t\t')
    port(fields.sourcePort, protocol === TCP)
    port(fields.destinationPort, protocol === TCP)
    port(fields.sourcePort, protocol === UDP)
    port(fields.destinationPort, protocol === UDP)
    if (protocol === TCP && fields.sourcePort >= 0) {
      text('0x00')
      out[at++] = hexDigit(fields.tcpFlags >> 4)
      out[at++] = hexDigit(fields.tcpFlags & 15)
      out[at++] = TAB
      decimal(fields.seq)
      out[at++] = TAB
      decimal(fields.ack)
      out[at++] = TAB
      decimal(fields.payloadLength)
    } else text('\t\t\t')
    out[at++] = NEWLINE
    if (at >= CHUNK) {
      write(out.subarray(0, at))
      at = 0
    }
  }
  if (at > 0) write(out.subarray(0, at))
}

function hexDigit(value: number): number {
  return value < 10 ? DIGIT + value : 87 + value
}

/** Splits timestamps into seconds and nanoseconds. Exact; needs a BigInt only when the second changes. */
class Clock {
  seconds = 0
  nanos = 0
  #high = -1
  #base = 0
  #baseHigh = 0
  #baseLow = 0
  #units = 0

  read(reader: PcapngReader): void {
    const { timeHigh, timeLow } = reader
    const units = reader.interfaces[reader.interfaceId]!.unitsPerSecond
    const since = (timeHigh - this.#baseHigh) * 0x1_0000_0000 + timeLow - this.#baseLow
    if (this.#high >= 0 && units === 1e9 && units === this.#units && since >= 0 && since < 1e9) {
      this.seconds = this.#base
      this.nanos = since
      return
    }
    const all = reader.nanoseconds
    this.seconds = this.#base = Number(all / 1_000_000_000n)
    this.nanos = Number(all % 1_000_000_000n)
    const start = (BigInt(timeHigh) << 32n) + BigInt(timeLow) - BigInt(this.nanos)
    this.#baseHigh = Number(start >> 32n)
    this.#baseLow = Number(start & 0xffffffffn)
    this.#high = timeHigh
    this.#units = units
  }
}
