import { createHash } from 'node:crypto'
import type { BundleDirectory } from './parse/directory.ts'
import { PcapngReader } from './parse/pcapng.ts'

/** A digest and over how many pieces of evidence it goes. */
export interface EvidenceDigest {
  readonly sha256: string
  readonly pieces: number
}

/**
 * Digests of evidence, piece by piece: sha256 over a line `SHA256  REF` and a newline for each piece, the references sorted by their bytes.
 * A piece is the line that `FILE#LN` names, without its newline; the packet block that `FILE#pN` names, whole; or a whole file.
 * What is not there stands as `missing` in place of its digest.
 */
export class Digests {
  readonly #directory: BundleDirectory
  readonly #files = new Map<string, Pieces>()
  readonly #known = new Map<string, string>()

  constructor(directory: BundleDirectory) {
    this.#directory = directory
  }

  of(refs: Iterable<string>): EvidenceDigest {
    const all = [...new Set(refs)].sort()
    const hash = createHash('sha256')
    for (const ref of all) hash.update(`${this.#piece(ref)}  ${ref}\n`)
    return { sha256: hash.digest('hex'), pieces: all.length }
  }

  #piece(ref: string): string {
    let digest = this.#known.get(ref)
    if (digest === undefined) {
      const [, file = ref, kind, number] = /^(.*)#([Lp])(\d+)$/.exec(ref) ?? []
      const bytes = this.#file(file)(kind === undefined ? undefined : Number(number))
      digest = bytes ? createHash('sha256').update(bytes).digest('hex') : 'missing'
      this.#known.set(ref, digest)
    }
    return digest
  }

  #file(file: string): Pieces {
    let pieces = this.#files.get(file)
    if (!pieces) {
      const bytes = this.#directory.read(file)
      pieces = !bytes ? () => undefined : file.endsWith('.pcapng') ? blocksOf(bytes, file) : linesOf(bytes)
      this.#files.set(file, pieces)
    }
    return pieces
  }
}

/** A piece of a file by its number; without one the whole file. */
type Pieces = (number: number | undefined) => Uint8Array | undefined

function linesOf(bytes: Buffer): Pieces {
  const starts = [0]
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) starts.push(at + 1)
  return (number) => {
    if (number === undefined) return bytes
    const start = starts[number - 1]
    return start === undefined ? undefined : bytes.subarray(start, (starts[number] ?? bytes.length + 1) - 1)
  }
}

function blocksOf(bytes: Buffer, file: string): Pieces {
  const blocks: [from: number, to: number][] = []
  const reader = new PcapngReader(bytes, file)
  while (reader.next()) blocks.push([reader.blockOffset, reader.blockOffset + reader.blockLength])
  return (number) => {
    if (number === undefined) return bytes
    const block = blocks[number]
    return block && bytes.subarray(...block)
  }
}
