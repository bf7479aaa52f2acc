import type { Frame, PacketObservation } from '../observation.ts'
import { mac } from './addresses.ts'
import { EvidenceError, takeAgain } from './error.ts'
import { decodeEthernet, destination, flagsText, PacketFields, protocolName, source } from './packet.ts'
import { type CaptureInterface, PcapngReader } from './pcapng.ts'
import { decodeTunnel } from './tunnel.ts'

const nothing = new Uint8Array(0)

/** A capture file of the bundle, decoded. */
export interface CaptureFile {
  /** In the order of the file. */
  readonly packets: PacketObservation[]
  /** Bytes at the end that belong to a block which was not finished. */
  readonly cutBytes: number
}

/** Decodes a whole capture. @param file as refs shall name it. Throws EvidenceError. */
export function parsePackets(bytes: Buffer, file: string): CaptureFile {
  const reader = new PcapngReader(bytes, file)
  const { view } = reader
  const fields = new PacketFields()
  const inner = new PacketFields()
  const packets: PacketObservation[] = []
  const vantages = new Map<CaptureInterface, Vantage>()
  while (reader.next()) {
    const link = reader.interfaces[reader.interfaceId]!
    let vantage = vantages.get(link)
    if (!vantage) {
      vantage = vantageOf(link, reader, file)
      vantages.set(link, vantage)
    }
    const way = reader.flags & 3
    if (way !== 1 && way !== 2) {
      throw new EvidenceError(file, `packet ${reader.index}`, 'its block does not tell the direction (epb_flags 1 in, 2 out)', takeAgain)
    }
    const { dataOffset, captured } = reader
    decodeEthernet(view, dataOffset, captured, reader.original, fields)
    const header = decodeTunnel(view, fields, inner)
    const { index } = reader
    packets.push({
      kind: 'packet',
      ref: `${file}#p${index}`,
      node: vantage.node,
      netns: vantage.netns,
      t: reader.microseconds,
      dev: vantage.dev,
      direction: way === 1 ? 'in' : 'out',
      ...frameOf(view, fields),
      ...(header && {
        tunnel: { header: header.form, vni: header.vni, ...frameOf(view, inner) },
      }),
    })
  }
  return { packets, cutBytes: reader.truncated ? bytes.length - reader.end : 0 }
}

function frameOf(view: DataView, fields: PacketFields): Frame {
  const { frameOffset: at, frameCaptured: captured } = fields
  return {
    protocol: protocolName(fields.protocol),
    from: source(view, fields),
    to: destination(view, fields),
    macFrom: captured >= 12 ? mac(view, at + 6) : '',
    macTo: captured >= 6 ? mac(view, at) : '',
    flags: flagsText(fields.tcpFlags),
    seq: fields.seq,
    ack: fields.ack,
    payloadLength: fields.payloadLength,
    payload:
      fields.payloadCaptured === 0 ? nothing : new Uint8Array(view.buffer, view.byteOffset + fields.payloadOffset, fields.payloadCaptured),
  }
}

interface Vantage {
  readonly node: string
  readonly netns: string
  readonly dev: string
}

function vantageOf(link: CaptureInterface, reader: PcapngReader, file: string): Vantage {
  const [node, netns, dev, ...more] = link.name.split('/')
  if (!node || !netns || !dev || more.length > 0) {
    throw new EvidenceError(file, `interface ${reader.interfaceId}`, `its name is '${link.name}', not node/netns/dev`, takeAgain)
  }
  if (link.linktype !== 1) {
    throw new EvidenceError(
      file,
      `interface ${link.name}`,
      `it has link type ${link.linktype}; only Ethernet (1) tells MAC addresses`,
      takeAgain,
    )
  }
  return { node, netns, dev }
}
