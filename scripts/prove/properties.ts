import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { start } from './everyhop.ts'
import { random, table } from './figures.ts'
import type { Part } from './part.ts'

const root = join(import.meta.dirname, '../..')

/** The property tests again, with other seeds than the one of `npm test`: what they try is new each time. */
export const properties: Part = async ({ times = 10, seed, out, signal, say }) => {
  const files = globSync('{harness,clusters,images,reports,scripts}/**/*.test.ts', { cwd: root }).filter((file) =>
    readFileSync(join(root, file), 'utf8').includes("from 'fast-check'"),
  )
  const next = random(seed)
  const failures: string[] = []
  const rows: (string | number)[][] = []
  for (let i = 1; i <= times; i++) {
    signal.throwIfAborted()
    const tried = Math.floor(next() * 2 ** 31)
    const { exitCode, stdout, stderr, seconds } = await start(process.execPath, ['--v8-pool-size=0', 'scripts/test.ts', ...files], {
      env: { EVERYHOP_SEED: String(tried) },
      signal,
    }).ended
    const tally = stdout.trim().split('\n').at(-1) ?? ''
    if (exitCode !== 0) {
      const log = join(out, `${tried}.log`)
      writeFileSync(log, stdout + stderr)
      failures.push(`EVERYHOP_SEED=${tried} npm test -- ${files.join(' ')}: ${tally} (see ${log})`)
    }
    rows.push([tried, tally, seconds.toFixed(0)])
    say(`${i} of ${times}: seed ${tried}: ${tally}`)
  }
  return { failures, report: table(['seed', `${files.length} files`, 'seconds'], rows) }
}
