import type { Evidence } from '../../reports/html/report.ts'
import type { Observation, PacketObservation, TunnelledFrame } from '../evidence/observation.ts'
import { fieldsOf } from './fields.ts'
import { payloadWords } from './payload-words.ts'
import type { Walks } from './walks.ts'

/** Readable bytes help whole; of sealed ones a few lines show that nothing can be read. They do not compress. */
const READABLE_BYTES = 512
const SEALED_BYTES = 96

/** The evidence of a report: each observation that is asked for, once. Times from `epoch`. */
export class EvidenceTable {
  readonly entries: Evidence[]
  readonly #epoch: number
  readonly #walks: Walks
  readonly #byRef: ReadonlyMap<string, Observation>
  readonly #indexes = new Map<string, number>()
  readonly #withBytes = new Set<number>()

  /** @param entries the report's, shared by its batches, whose refs are their own; @param observations those that are cited */
  constructor(entries: Evidence[], observations: readonly Observation[], walks: Walks, epoch: number) {
    this.entries = entries
    this.#walks = walks
    this.#epoch = epoch
    this.#byRef = new Map(observations.map((o) => [o.ref, o]))
  }

  observation(ref: string): Observation | undefined {
    return this.#byRef.get(ref)
  }

  /** The index of what a ref points at, with a packet's first bytes; undefined: the bundle has it no more. */
  cited(ref: string): number | undefined {
    const o = this.#byRef.get(ref)
    if (!o) return undefined
    const index = this.#index(o)
    if (o.kind === 'packet' && o.payload.length > 0 && !this.#withBytes.has(index)) {
      this.#withBytes.add(index)
      this.entries[index] = { ...this.entries[index]!, bytes: firstBytes(o) } as Evidence
    }
    return index
  }

  /** The index of a packet that stands in a sequence only. */
  packet(o: PacketObservation): number {
    return this.#index(o)
  }

  #index(o: Observation): number {
    let index = this.#indexes.get(o.ref)
    if (index === undefined) {
      index = this.entries.push(this.#entry(o)) - 1
      this.#indexes.set(o.ref, index)
    }
    return index
  }

  #entry(o: Observation): Evidence {
    const t = 't' in o ? Math.round((o.t - this.#epoch) * 10) / 10 : undefined
    const source = { kind: o.kind, ref: o.ref, at: `${o.node}/${o.netns}`, ...(t === undefined ? {} : { t }) }
    if (o.kind === 'packet') {
      const { from, to, flags, seq, ack } = o
      const info = o.tunnel ? tunnelWords(o.tunnel) : payloadWords(o.payload, o.payloadLength)
      const at = `${source.at}/${o.dev}`
      return {
        ...source,
        kind: 'packet',
        t: t!,
        at,
        dir: o.direction,
        proto: o.protocol,
        from,
        to,
        flags,
        seq,
        ack,
        len: o.payloadLength,
        info,
      }
    }
    if (o.kind === 'trace') {
      const found = this.#walks.of(o)
      return found
        ? { ...source, kind: 'trace', t: t!, ...found }
        : { ...source, kind: 'trace line', fields: { table: o.table, chain: o.chain } }
    }
    return { ...source, fields: fieldsOf(o) }
  }
}

/** What a tunnel's datagram carries. */
function tunnelWords({ header, vni, protocol, from, to, flags }: TunnelledFrame): string {
  const inside = from === '' ? 'no IP' : `${protocol} ${flags === '' ? '' : `[${flags}] `}${from} → ${to}`
  return `${header === 'geneve' ? 'GENEVE' : 'VXLAN'} ${vni}: ${inside}`
}

function firstBytes({ payload }: PacketObservation): string {
  const head = payload.subarray(0, 16)
  const readable = head.every((b) => (b >= 0x20 && b < 0x7f) || b === 10 || b === 13 || b === 9)
  const bytes = payload.subarray(0, readable ? READABLE_BYTES : SEALED_BYTES)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
}
