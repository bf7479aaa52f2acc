import { closeSync, existsSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { SnapshotFile } from './collect/snapshot.ts'
import { FrameDecoder, type FrameKind, frameKind } from './frames.ts'
import type { CollectorReply } from './protocol.ts'

/** File of the node's evidence folder that the bytes of each kind are appended to. */
const files: Partial<Record<FrameKind, string>> = {
  [frameKind.packets]: 'packets.pcapng',
  [frameKind.traces]: 'traces.jsonl',
  [frameKind.conntrack]: 'conntrack.jsonl',
  [frameKind.sockets]: 'sockets.jsonl',
  [frameKind.logs]: 'logs.jsonl',
  [frameKind.stats]: 'stats.jsonl',
  [frameKind.interfaces]: 'interfaces.jsonl',
  [frameKind.markers]: 'markers.jsonl',
  [frameKind.sightings]: 'sightings.jsonl',
  [frameKind.loads]: 'loads.jsonl',
}

/** Whole lines (or packet blocks) of one kind, as they were appended to their file. */
export type EvidenceListener = (kind: FrameKind, payload: Buffer) => void

/** One part of a path that a collector names: no way out of the bundle. */
const safeName = /^[A-Za-z0-9][A-Za-z0-9._-]*$/

/**
 * Turns one collector's frames into files of the bundle: `evidence/NODE/…` and `snapshots/LABEL/NODE/…`, `snapshots/LABEL/meta.json`. Whole frames only, each written before push() returns, so a killed run leaves files
 * that can be read to their end.
 */
export class EvidenceWriter {
  readonly #bundle: string
  readonly #node: string
  readonly #onEvidence: EvidenceListener | undefined
  readonly #decoder = new FrameDecoder()
  readonly #open = new Map<FrameKind, number>()

  /**
   * Makes the node's evidence folder and its (empty) files. A second collector of the same node goes on in the files of the first, except that packets.pcapng starts anew as one more section.
   * @param bundle the bundle's directory
   */
  constructor(bundle: string, node: string, onEvidence?: EvidenceListener) {
    if (!safeName.test(node)) throw new TypeError(`node name ${JSON.stringify(node)}: letters, digits, dots, dashes only`)
    this.#bundle = bundle
    this.#node = node
    this.#onEvidence = onEvidence
    const directory = join(bundle, 'evidence', node)
    mkdirSync(directory, { recursive: true })
    for (const [kind, file] of Object.entries(files)) this.#open.set(Number(kind) as FrameKind, openSync(join(directory, file), 'a'))
  }

  /** Takes the next piece of the collector's stdout; what it completed is in the files when this returns. @returns the replies among it, in order */
  push(piece: Buffer): CollectorReply[] {
    const replies: CollectorReply[] = []
    for (const { kind, payload } of this.#decoder.push(piece)) {
      if (kind === frameKind.reply) replies.push(JSON.parse(payload.toString()) as CollectorReply)
      else if (kind === frameKind.snapshot) this.#snapshot(JSON.parse(payload.toString()) as SnapshotFile)
      else this.#append(kind, payload)
    }
    return replies
  }

  #append(kind: FrameKind, payload: Buffer): void {
    const fd = this.#open.get(kind)
    if (fd === undefined) throw new Error(`evidence of node ${this.#node} came after its writer was closed`)
    for (let at = 0; at < payload.length; ) at += writeSync(fd, payload, at)
    this.#onEvidence?.(kind, payload)
  }

  #snapshot({ label, netns, file, text, t }: SnapshotFile): void {
    const parts = netns === '' ? [label, this.#node, file] : [label, this.#node, netns, file]
    for (const part of parts)
      if (!safeName.test(part)) throw new Error(`snapshot of node ${this.#node}: not a file name: ${JSON.stringify(part)}`)
    const path = join(this.#bundle, 'snapshots', ...parts)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
    // When the snapshot was taken, which tells which of several rule dumps a trace line goes with: the node that is first says it.
    const meta = join(this.#bundle, 'snapshots', label, 'meta.json')
    if (!existsSync(meta)) writeFileSync(meta, `${JSON.stringify({ t })}\n`)
  }

  /** Closes the files; bytes of a frame that never came whole are dropped. Safe to call twice. */
  close(): void {
    for (const fd of this.#open.values()) closeSync(fd)
    this.#open.clear()
  }
}
