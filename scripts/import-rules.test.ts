import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'

// The import rules of biome.json really trip: a rule that matches nothing looks like a rule that is kept.
const root = join(import.meta.dirname, '..')

/** Says of each `[file, import]` what the rules object to; biome runs once, over a copy of the configuration. */
function check(files: readonly (readonly [path: string, target: string, ...unknown[]])[]): string[] {
  const dir = mkdtempSync(join(tmpdir(), 'everyhop-rules-'))
  try {
    for (const name of ['biome.json', '.gitignore']) copyFileSync(join(root, name), join(dir, name))
    files.forEach(([path, target], i) => {
      const file = join(dir, numbered(path, i))
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, `import { x } from '${target}'\n\nconsole.log(x)\n`)
    })
    const biome = join(root, 'node_modules', '.bin', 'biome')
    const args = ['lint', '--only=style/noRestrictedImports', '--reporter=rdjson', '--max-diagnostics=none']
    const { stdout, stderr } = spawnSync(biome, args, { cwd: dir, encoding: 'utf8' })
    const report = reportSchema.parse(JSON.parse(stdout || JSON.stringify({ problem: stderr })))
    return files.map(([path], i) =>
      report.diagnostics
        .filter((d) => d.location.path.endsWith(numbered(path, i)))
        .map((d) => d.message)
        .join('; '),
    )
  } finally {
    rmSync(dir, { recursive: true })
  }
}

const reportSchema = z.object({ diagnostics: z.array(z.object({ message: z.string(), location: z.object({ path: z.string() }) })) })

/** Several imports of one folder: each in a file of its own. */
function numbered(path: string, i: number): string {
  return path.replace('x.ts', `x${i}.ts`)
}

const images = /images\/ imports nothing/
const down = /imports go downward only/
const byName = /knows images by name/
const schema = /reports know only their own schema/
const oracle = /the oracle is independent/
const judge = /import nothing of images\//

const forbidden = [
  ['images/sleep/x.ts', '../../harness/judge/y.ts', images],
  ['images/cni/redirect/inpod/x.ts', '../../../../clusters/registry.ts', images],
  ['images/lib/x.ts', '../../suites/y.ts', images],
  ['images/lib/x.ts', '../../reports/y.ts', images],
  ['clusters/x.ts', '../harness/y.ts', down],
  ['clusters/lab/x.ts', '../../suites/y.ts', down],
  ['clusters/lab/x.ts', '../../reports/y.ts', down],
  ['clusters/lab/x.ts', '../../images/cni/agent/main.ts', byName],
  ['clusters/x.ts', '../images/ztunnel/main.ts', byName],
  ['clusters/x.ts', '../images/sleep/main.ts', byName],
  ['clusters/x.ts', '../images/httpbin/main.ts', byName],
  ['reports/x.ts', '../harness/y.ts', schema],
  ['reports/x.ts', '../clusters/y.ts', schema],
  ['reports/x.ts', '../suites/y.ts', schema],
  ['reports/html/x.ts', '../../images/lib/y.ts', schema],
  ['harness/run/x.ts', '../../suites/y.ts', down],
  ['harness/run/x.ts', '../../images/cni/redirect/inpod/rules.ts', oracle],
  ['harness/traffic/x.ts', '../../images/ztunnel/y.ts', oracle],
  ['harness/traffic/x.ts', '../../images/sleep/y.ts', oracle],
  ['harness/traffic/x.ts', '../../images/httpbin/y.ts', oracle],
  ['harness/judge/x.ts', '../../images/lib/y.ts', judge],
  ['harness/judge/x.ts', '../../suites/y.ts', down],
  ['harness/modes/inpod/x.ts', '../../../images/lib/y.ts', judge],
  ['harness/modes/inpod/x.ts', '../../../images/cni/redirect/inpod/y.ts', judge],
  ['harness/matrix/x.ts', '../../images/lib/y.ts', judge],
  ['harness/evidence/parse/x.ts', '../../../images/lib/y.ts', judge],
] as const

const allowed = [
  ['images/sleep/x.ts', '../lib/y.ts'],
  ['clusters/lab/x.ts', '../../images/lib/y.ts'],
  ['clusters/x.ts', './registry.ts'],
  ['reports/x.ts', './schema.ts'],
  ['harness/evidence/collect/x.ts', '../../../images/lib/y.ts'],
  ['harness/run/x.ts', '../../clusters/y.ts'],
  ['harness/run/x.ts', '../../reports/y.ts'],
  ['harness/judge/x.ts', '../modes/inpod/y.ts'],
  ['suites/x.ts', '../harness/y.ts'],
] as const

const forbiddenSaid = check(forbidden)
test.for(forbidden.map((row, i) => [...row, forbiddenSaid[i]] as const))('%s may not import %s', ([, , reason, said]) => {
  expect(said).toMatch(reason)
})

const allowedSaid = check(allowed)
test.for(allowed.map((row, i) => [...row, allowedSaid[i]] as const))('%s may import %s', ([, , said]) => {
  expect(said).toBe('')
})
