import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const root = join(import.meta.dirname, '..', '..')
const cache = join(root, '.everyhop')

/**
 * The built app that a report is put into. Built on first use after its sources changed (about a second), then kept.
 * Where nothing may be written it is built each time.
 */
export async function template(): Promise<string> {
  const name = `report-${sourceHash()}.html`
  const kept = join(cache, name)
  if (existsSync(kept)) return readFileSync(kept, 'utf8')
  if (!writable()) {
    const work = mkdtempSync(join(tmpdir(), 'everyhop-template-'))
    try {
      return await built(join(work, name))
    } finally {
      rmSync(work, { recursive: true, force: true })
    }
  }
  const text = await built(kept)
  for (const old of globSync('report-*.html', { cwd: cache })) if (old !== name) rmSync(join(cache, old), { force: true })
  return text
}

function writable(): boolean {
  try {
    mkdirSync(cache, { recursive: true })
    accessSync(cache, constants.W_OK)
    return true
  } catch {
    return false
  }
}

async function built(file: string): Promise<string> {
  await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'build.ts'), file], { cwd: root })
  return readFileSync(file, 'utf8')
}

/** Of everything that the built app depends on: its sources, how it is built, and with what. */
function sourceHash(): string {
  const hash = createHash('sha256')
  const sources = globSync(['app/**/*.{ts,tsx,css,html,json}', 'build.ts', 'report.ts', '../words.ts'], {
    cwd: import.meta.dirname,
  }).toSorted()
  for (const file of sources) hash.update(`${file}\0`).update(readFileSync(join(import.meta.dirname, file)))
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
  for (const used of ['preact', 'vite', 'vite-plugin-singlefile']) hash.update(`${used}@${dependencies[used]}\0`)
  return hash.digest('hex').slice(0, 16)
}
