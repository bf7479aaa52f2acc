import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { globSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ownedEnvironment } from './node/owned.ts'
import { compileCache, pinnedNode, repository } from './node/root.ts'

/** What the images are made of, without their entry points (which would run) and tests. */
const sources = () =>
  globSync('images/{cni,ztunnel,discovery,sleep,httpbin,lib}/**/*.ts', {
    cwd: repository,
    exclude: ['**/*.test.ts', '**/main.ts', '**/testing/**', '**/testbed/**', '**/fixtures/**'],
  }).sort()

/**
 * Has V8's code cache for the images' modules made, once per state of their sources: containers see it read-only, and each start of Node in one
 * takes half the processor time with it. Goes on in the background; without it everything works, slower.
 */
export function warmCompileCache(owner: { readonly id: string }): void {
  try {
    const files = sources()
    const state = createHash('sha256')
    for (const file of [...files, 'package-lock.json']) state.update(`${file} ${statSync(join(repository, file)).mtimeMs}\n`)
    const stamp = join(compileCache, 'images.stamp')
    const wanted = state.digest('hex')
    mkdirSync(compileCache, { recursive: true })
    if (readOrNothing(stamp) === wanted) return
    // An import that fails costs only its own cache entry.
    const script = `for (const file of ${JSON.stringify(files)}) await import(${JSON.stringify(`${repository}/`)} + file).catch(() => {}); process.exit()`
    const worker = spawn(pinnedNode, ['--input-type=module', '-e', script], { env: ownedEnvironment(owner), stdio: 'ignore' })
    worker.on('error', () => {})
    worker.once('exit', (code) => {
      if (code === 0) writeFileSync(stamp, wanted)
    })
  } catch {
    // A repository that cannot be written to has no cache.
  }
}

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
