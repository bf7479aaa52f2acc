import { type FSWatcher, readFileSync, statSync, watch } from 'node:fs'
import { dirname } from 'node:path'
import type { Log } from '../log.ts'
import { parseLocalState } from './local-schema.ts'
import type { MeshState } from './store.ts'

const settle = 20
const lookEvery = 1_000

/**
 * Keeps `state` equal to the YAML file at `path`. The kubelet replaces a projected file through its `..data` link, so the directory is watched.
 * Changes made through another layer of an overlay are not reported to watchers; for those the file is looked at once a second.
 * A file that cannot be used leaves the state as it was and logs why; it is tried again at the next change.
 * @returns `ready` resolves when the file was used for the first time; `close` stops watching
 */
export function followLocalFile(path: string, state: MeshState, log: Log): { ready: Promise<void>; close(): void } {
  const first = Promise.withResolvers<void>()
  let last: string | undefined
  let timer: NodeJS.Timeout | undefined
  let watcher: FSWatcher | undefined
  let closed = false
  let version = ''
  const read = () => {
    try {
      version = versionOf(path)
      const text = readFileSync(path, 'utf8')
      if (text === last) return
      last = text
      const resources = parseLocalState(text, path)
      state.replace(resources)
      const { workloads, services, policies } = resources
      log('info', 'state', 'local state read', { workloads: workloads.length, services: services.length, policies: policies.length })
      first.resolve()
    } catch (error) {
      log('error', 'state', 'local state not usable, keeping what was known', { path, error: (error as Error).message })
    }
  }
  const soon = () => {
    clearTimeout(timer)
    timer = setTimeout(read, settle)
  }
  const start = () => {
    if (closed) return
    try {
      watcher = watch(dirname(path), { persistent: true }, soon)
      // A watch that broke (the directory itself was replaced) is made again.
      watcher.on('error', () => {
        watcher?.close()
        setTimeout(start, 1000)
      })
    } catch (error) {
      log('error', 'state', 'directory of the local state cannot be watched', { path, error: (error as Error).message })
      setTimeout(start, 1000)
    }
    read()
  }
  start()
  const look = setInterval(() => {
    if (versionOf(path) !== version) read()
  }, lookEvery)
  return {
    ready: first.promise,
    close() {
      closed = true
      clearTimeout(timer)
      clearInterval(look)
      watcher?.close()
    },
  }
}

function versionOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false })
  return found ? `${found.ino}:${found.mtimeMs}:${found.size}` : ''
}
