import { closeSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Bundle } from './bundle.ts'
import type { Observation } from './observation.ts'
import { EvidenceError } from './parse/error.ts'
import { PcapngReader } from './parse/pcapng.ts'
import { PcapngWriter } from './pcapng-write.ts'

/** A packet to export; other kinds of observations are no packets and are left out. */
export interface Exported {
  readonly observation: Observation
  /** Shown with the packet: the hop that it belongs to. */
  readonly comment?: string
}

interface Found {
  readonly name: string
  readonly linktype: number
  readonly tNs: bigint
  readonly data: Uint8Array
  readonly originalLength: number
  readonly direction?: 'in' | 'out'
  readonly comment: string | undefined
}

/**
 * Writes the packets of one case as a capture file of its own, in the order of time: interfaces are named `node/netns/dev`, comments stand above the packets.
 * The packets' bytes, times and directions are those of the bundle. The same packet given twice is written once, with both comments.
 * @returns how many packets were written
 */
export function exportCase(bundle: Bundle<unknown, unknown, unknown>, exported: Iterable<Exported>, outFile: string): number {
  const found = [...wantedByFile(exported)].flatMap(([file, wanted]) => findPackets(bundle, file, wanted))
  found.sort((a, b) => (a.tNs < b.tNs ? -1 : a.tNs > b.tNs ? 1 : 0))
  const writer = new PcapngWriter()
  const ids = new Map<string, number>()
  const blocks = [writer.header()]
  for (const { name, linktype, comment, ...packet } of found) {
    let interfaceId = ids.get(name)
    if (interfaceId === undefined) {
      const made = writer.interface(name, linktype)
      blocks.push(made.block)
      interfaceId = made.id
      ids.set(name, interfaceId)
    }
    blocks.push(writer.packet({ ...packet, interfaceId, ...(comment ? { comment } : {}) }))
  }
  writeWhole(outFile, blocks)
  return found.length
}

/** File → number of the packet in it → its comments. */
function wantedByFile(exported: Iterable<Exported>): Map<string, Map<number, Set<string>>> {
  const files = new Map<string, Map<number, Set<string>>>()
  for (const { observation, comment } of exported) {
    if (observation.kind !== 'packet') continue
    const [, file, number] = /^(.*)#p(\d+)$/.exec(observation.ref) ?? []
    if (!file) throw new EvidenceError(observation.ref, '', 'this ref is of no packet', 'Export packets of the bundle that they came from')
    const wanted = files.get(file) ?? new Map<number, Set<string>>()
    files.set(file, wanted)
    const comments = wanted.get(Number(number)) ?? new Set()
    wanted.set(Number(number), comments)
    if (comment) comments.add(comment)
  }
  return files
}

function findPackets(bundle: Bundle<unknown, unknown, unknown>, file: string, wanted: Map<number, Set<string>>): Found[] {
  const bytes = bundle.directory.read(file)
  if (!bytes) throw new EvidenceError(file, '', 'it is not in the bundle', 'Export packets of the bundle that they came from')
  const reader = new PcapngReader(bytes, file)
  const found: Found[] = []
  while (found.length < wanted.size && reader.next()) {
    const comments = wanted.get(reader.index)
    if (!comments) continue
    const { dataOffset, captured, flags } = reader
    const link = reader.interfaces[reader.interfaceId]!
    found.push({
      name: link.name,
      linktype: link.linktype,
      tNs: reader.nanoseconds,
      data: bytes.subarray(dataOffset, dataOffset + captured),
      originalLength: reader.original,
      ...((flags & 3) === 1 ? { direction: 'in' } : (flags & 3) === 2 ? { direction: 'out' } : {}),
      comment: [reader.comment, ...comments].filter(Boolean).join('; ') || undefined,
    })
  }
  if (found.length < wanted.size) {
    throw new EvidenceError(
      file,
      '',
      `it has ${reader.index + 1} packets, fewer than its refs say`,
      'Export packets of the bundle that they came from',
    )
  }
  return found
}

/** So that a reader never sees half of it. */
function writeWhole(file: string, blocks: readonly Buffer[]): void {
  mkdirSync(dirname(file), { recursive: true })
  const temporary = `${file}.part`
  const fd = openSync(temporary, 'w')
  try {
    const bytes = Buffer.concat(blocks)
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  } finally {
    closeSync(fd)
  }
  renameSync(temporary, file)
}
