import { type FSWatcher, readdirSync, realpathSync, watch } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { LogFile } from './log-file.ts'

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

/** How often logs are read while a load runs, milliseconds: its servers write a line for each request, and to be woken for each costs more than the load's own work. */
const loadPace = 100

/**
 * Follows the logs of all containers of a node: `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log`, links to `/var/log/pods/…/N.log`. Woken by inotify on the folders,
 * so a rotation (rename, new file of the same name) is an event like a new line.
 */
export class Logs {
  readonly #directory: string
  readonly #onLines: (lines: readonly LogLine[]) => void
  readonly #files = new Map<string, LogFile>()
  /** Folders of the files, and what wakes us for each. */
  readonly #folders = new Map<string, { readonly files: Map<string, LogFile>; watcher: FSWatcher | undefined }>()
  #top: FSWatcher | undefined
  #spared: readonly string[] = []
  #pace: NodeJS.Timeout | undefined
  #lines: LogLine[] = []

  /**
   * @param onLines told of the lines of each read
   * @param directory made by the kubelet; when it is not there (yet), it is looked for again at each flush()
   */
  constructor(onLines: (lines: readonly LogLine[]) => void, directory = '/var/log/containers') {
    this.#onLines = onLines
    this.#directory = directory
    this.flush()
  }

  /** Reads all that is there now. */
  flush(): void {
    this.#top ??= watchFolder(this.#directory, () => {
      this.#discover()
      this.#tell()
    })
    this.#discover()
    this.#readAll()
  }

  /**
   * While these clients (IPv4 addresses) make a load, logs are read now and then instead of at each line; none: at each line again.
   * @param leaveOut lines that name one of them as an end of a connection, as httpbin's (`"peer":"10.0.0.1:80"`) and ztunnel's (`src.addr=10.0.0.1:80`) do, are left out
   */
  spare(clients: readonly string[], leaveOut: boolean): void {
    // What is there came before.
    this.flush()
    this.#spared = leaveOut ? clients.flatMap((client) => [`"${client}:`, `=${client}:`]) : []
    clearInterval(this.#pace)
    this.#pace = clients.length > 0 ? setInterval(() => this.#readAll(), loadPace).unref() : undefined
    for (const folder of this.#folders.keys()) this.#wake(folder)
    // Between the reading and the watching there may have been more.
    this.#readAll()
  }

  readonly #isSpared = (record: string) => this.#spared.some((end) => record.includes(end))

  #readAll(): void {
    for (const file of this.#files.values()) file.read()
    this.#tell()
  }

  #tell(): void {
    if (this.#lines.length === 0) return
    this.#onLines(this.#lines)
    this.#lines = []
  }

  #discover(): void {
    if (!this.#top) return
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
      const onLine = (stream: 'stdout' | 'stderr', t: number, line: string) =>
        void this.#lines.push({ t, pod, namespace, container, stream, line })
      const file = new LogFile(target, onLine, this.#isSpared)
      this.#files.set(name, file)
      const folder = dirname(target)
      if (!this.#folders.has(folder)) this.#folders.set(folder, { files: new Map(), watcher: undefined })
      this.#folders.get(folder)!.files.set(basename(target), file)
      this.#wake(folder)
      file.read()
    }
  }

  /** Has changes of a folder wake us, or no longer while logs are read now and then. */
  #wake(path: string): void {
    const folder = this.#folders.get(path)!
    if (this.#pace) {
      folder.watcher?.close()
      folder.watcher = undefined
      return
    }
    folder.watcher ??= watchFolder(path, (changed) => {
      folder.files.get(changed)?.read()
      this.#tell()
    })
  }

  close(): void {
    clearInterval(this.#pace)
    this.#top?.close()
    for (const { watcher } of this.#folders.values()) watcher?.close()
    for (const file of this.#files.values()) file.close()
  }
}

/** @returns undefined: the folder is not there yet */
function watchFolder(path: string, onChange: (name: string) => void): FSWatcher | undefined {
  try {
    const watcher = watch(path, { persistent: false }, (_, name) => onChange(String(name)))
    // Deleted with its pod.
    watcher.on('error', () => watcher.close())
    return watcher
  } catch {
    return undefined
  }
}
