import { readFileSync, statSync } from 'node:fs'
import { parseResolvConf, type ResolverConfig } from './dns/names.ts'

/** The resolv.conf at `path`, read again when it changed, looked at once a second at most. A file that cannot be read has no servers. */
export function resolverFile(path: string): () => ResolverConfig {
  let held: ResolverConfig = { nameservers: [], search: [] }
  let version = ''
  let lookedAt = Number.NEGATIVE_INFINITY
  return () => {
    if (performance.now() - lookedAt < 1000) return held
    lookedAt = performance.now()
    try {
      const { mtimeMs, ino, size } = statSync(path)
      const now = `${mtimeMs}:${ino}:${size}`
      if (now !== version) {
        held = parseResolvConf(readFileSync(path, 'utf8'))
        version = now
      }
    } catch {
      held = { nameservers: [], search: [] }
      version = ''
    }
    return held
  }
}
