import { type FSWatcher, readFileSync, watch } from 'node:fs'
import { join } from 'node:path'
import { type Ca, type CaFiles, issueLeaf, loadCa } from '../lib/ca.ts'
import type { Issuer } from './certificates.ts'
import type { Log } from './log.ts'

const names = ['ca-cert.pem', 'ca-key.pem', 'root-cert.pem'] as const
const retry = 1000

/**
 * The CA that lies in `directory` under upstream's `cacerts` names. Changed files are used from the next certificate on; bad ones leave the last good CA in use.
 * @returns `ready` resolves at the first usable CA; `issue` waits for it
 */
export function fileCa(directory: string, ttl: number, log: Log): { ready: Promise<void>; issue: Issuer; close(): void } {
  const first = Promise.withResolvers<void>()
  let ca: Ca | undefined
  let last: string | undefined
  let told: string | undefined
  let watcher: FSWatcher | undefined
  let timer: NodeJS.Timeout | undefined
  let closed = false
  const load = () => {
    try {
      const files = Object.fromEntries(names.map((name) => [name, readFileSync(join(directory, name), 'utf8')])) as unknown as CaFiles
      const now = JSON.stringify(files)
      if (now !== last) {
        ca = loadCa(files)
        last = now
        log('info', 'identity', 'CA loaded', { directory, expires: ca.certificate.validToDate.toISOString() })
        first.resolve()
      }
      told = undefined
      watcher ??= watch(directory, () => later(20)).on('error', () => {
        watcher?.close()
        watcher = undefined
        later(retry)
      })
    } catch (error) {
      const message = (error as Error).message
      if (message !== told) log('error', 'identity', 'CA not usable', { directory, error: message })
      told = message
      later(retry)
    }
  }
  const later = (delay: number) => {
    clearTimeout(timer)
    if (!closed) timer = setTimeout(load, delay)
  }
  load()
  return {
    ready: first.promise,
    async issue(identity) {
      await first.promise
      return issueLeaf(ca!, identity, ttl)
    },
    close() {
      closed = true
      clearTimeout(timer)
      watcher?.close()
    },
  }
}
