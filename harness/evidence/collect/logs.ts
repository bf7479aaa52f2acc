import { closeSync, type FSWatcher, fstatSync, openSync, readdirSync, readSync, realpathSync, statSync, watch } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** One line of a container's output. */
export interface LogLine {
  /** When the runtime took it, microseconds since 1970. */
  readonly t: number
  readonly pod: string
  readonly namespace: string
  readonly container: string
  readonly stream: 'stdout' | 'stderr'
  readonly line: string
}

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
class LogFile {
  readonly #path: string
  readonly #onLine: (stream: 'stdout' | 'stderr', t: number, line: string) => void
  #fd: number | undefined
  #position = 0
  #rest: Buffer = Buffer.alloc(0)
  readonly #partial = { stdout: '', stderr: '' }

  constructor(path: string, onLine: (stream: 'stdout' | 'stderr', t: number, line: string) => void) {
    this.#path = path
    this.#onLine = onLine
  }

  read(): void {
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
    this.#position = Math.max(0, fstatSync(this.#fd).size - limit)
    this.#rest = Buffer.alloc(0)
  }

  #isReplaced(): boolean {
    try {
      return statSync(this.#path).ino !== fstatSync(this.#fd!).ino
    } catch {
      return false
    }
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

/**
 * Follows the logs of all containers of a node: `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log`, links to `/var/log/pods/…/N.log`. Woken by inotify on the folders,
 * so a rotation (rename, new file of the same name) is an event like a new line.
 */
export class Logs {
  readonly #directory: string
  readonly #onLine: (line: LogLine) => void
  readonly #files = new Map<string, LogFile>()
  readonly #watchers = new Map<string, FSWatcher>()

  /** @param directory made by the kubelet; when it is not there (yet), it is looked for again at each flush() */
  constructor(onLine: (line: LogLine) => void, directory = '/var/log/containers') {
    this.#onLine = onLine
    this.#directory = directory
    this.flush()
  }

  /** Reads all that is there now. */
  flush(): void {
    if (!this.#watchers.has(this.#directory)) this.#watch(this.#directory, () => this.#discover())
    this.#discover()
    for (const file of this.#files.values()) file.read()
  }

  #discover(): void {
    if (!this.#watchers.has(this.#directory)) return
    for (const name of readdirSync(this.#directory)) {
      if (this.#files.has(name)) continue
      const parts = /^([^_]+)_([^_]+)_(.+)-[^-]+\.log$/.exec(name)
      if (!parts) continue
      const [, pod = '', namespace = '', container = ''] = parts
      let target: string
      try {
        target = realpathSync(join(this.#directory, name))
      } catch {
        // A link made before its file: the next flush or change finds it.
        continue
      }
      const file = new LogFile(target, (stream, t, line) => this.#onLine({ t, pod, namespace, container, stream, line }))
      this.#files.set(name, file)
      this.#watch(dirname(target), (changed) => {
        if (changed === basename(target)) file.read()
      })
      file.read()
    }
  }

  #watch(directory: string, onChange: (name: string | null) => void): void {
    const watcher = this.#watchers.get(directory)
    if (watcher) {
      watcher.on('change', (_, name) => onChange(String(name)))
      return
    }
    try {
      const made = watch(directory, { persistent: false }, (_, name) => onChange(name))
      // Deleted with its pod.
      made.on('error', () => made.close())
      this.#watchers.set(directory, made)
    } catch {
      // Not there yet.
    }
  }

  close(): void {
    for (const watcher of this.#watchers.values()) watcher.close()
    for (const file of this.#files.values()) file.close()
  }
}
