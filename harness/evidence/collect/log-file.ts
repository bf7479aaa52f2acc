import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'

/** Of a log that was there before, no more than this is read: the end. Bytes. */
const historyLimit = 4 << 20
const chunk = Buffer.alloc(256 << 10)

/**
 * One record of the CRI's log format (`2026-01-02T03:04:05.123456789Z stdout F text`); `partial`: the text goes on in the next record of its stream (tag P).
 * @returns undefined when it is none
 */
export function parseCriRecord(record: string): { t: number; stream: 'stdout' | 'stderr'; partial: boolean; text: string } | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) (stdout|stderr) ([FP])(?::\S*)? (.*)$/s.exec(record)
  if (!match) return undefined
  const [, second = '', fraction = '', zone = '', stream, tag, text = ''] = match
  const t = Date.parse(second + zone) * 1000 + Number(fraction.padEnd(9, '0').slice(0, 6))
  return { t, stream: stream as 'stdout' | 'stderr', partial: tag === 'P', text }
}

/** Follows one container's log through rotations. */
export class LogFile {
  readonly #path: string
  readonly #onLine: (stream: 'stdout' | 'stderr', t: number, line: string) => void
  readonly #isSpared: (record: string) => boolean
  #fd: number | undefined
  /** Of the open file: another's it cannot become while we hold it. */
  #inode = 0
  #position = 0
  #rest: Buffer = Buffer.alloc(0)
  readonly #partial = { stdout: '', stderr: '' }

  /** @param isSpared asked of a record before it is parsed: it is left out */
  constructor(path: string, onLine: (stream: 'stdout' | 'stderr', t: number, line: string) => void, isSpared: (record: string) => boolean) {
    this.#path = path
    this.#onLine = onLine
    this.#isSpared = isSpared
  }

  read(): void {
    // Asked for many times a second, of many files that nobody writes to.
    if (this.#fd !== undefined && this.#isUnchanged()) return
    if (this.#fd === undefined) this.#open(historyLimit)
    this.#readToEnd()
    // Rotated: the name stands for another file now; what the old one held is read.
    while (this.#fd !== undefined && this.#isReplaced()) {
      closeSync(this.#fd)
      this.#fd = undefined
      this.#open(Number.POSITIVE_INFINITY)
      this.#readToEnd()
    }
  }

  #open(limit: number): void {
    try {
      this.#fd = openSync(this.#path, 'r')
    } catch {
      // Not there (any more, or yet): the next change of its folder tells.
      return
    }
    const { ino, size } = fstatSync(this.#fd)
    this.#inode = ino
    this.#position = Math.max(0, size - limit)
    this.#rest = Buffer.alloc(0)
  }

  #isUnchanged(): boolean {
    const found = statSync(this.#path, { throwIfNoEntry: false })
    return found !== undefined && found.ino === this.#inode && found.size === this.#position
  }

  #isReplaced(): boolean {
    const found = statSync(this.#path, { throwIfNoEntry: false })
    return found !== undefined && found.ino !== this.#inode
  }

  #readToEnd(): void {
    if (this.#fd === undefined) return
    // Truncated in place (copytruncate): start over.
    if (fstatSync(this.#fd).size < this.#position) this.#position = 0
    for (
      let n = readSync(this.#fd, chunk, 0, chunk.length, this.#position);
      n > 0;
      n = readSync(this.#fd, chunk, 0, chunk.length, this.#position)
    ) {
      this.#position += n
      const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk.subarray(0, n)]) : Buffer.from(chunk.subarray(0, n))
      let start = 0
      for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
        this.#record(bytes.toString('utf8', start, end))
        start = end + 1
      }
      this.#rest = bytes.subarray(start)
    }
  }

  #record(text: string): void {
    // Of a line in several records all are kept.
    if (this.#partial.stdout === '' && this.#partial.stderr === '' && !/^\S+ \S+ P/.test(text) && this.#isSpared(text)) return
    const record = parseCriRecord(text)
    // The cut first record of a long history, or not the CRI's format.
    if (!record) return
    this.#partial[record.stream] += record.text
    if (record.partial) return
    this.#onLine(record.stream, record.t, this.#partial[record.stream])
    this.#partial[record.stream] = ''
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
  }
}
