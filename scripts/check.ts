import { $ } from 'zx'

// One command for all checks: format and lint (with the import rules), types, unused code.
const fix = process.argv.includes('--fix')
$.verbose = false
$.stdio = ['ignore', 'inherit', 'inherit']
$.preferLocal = true
const node = process.execPath

const steps: [title: string, run: () => Promise<unknown>][] = [
  ['format, lint, imports', () => $`node_modules/.bin/biome check ${fix ? ['--write'] : []} --error-on-warnings .`],
  ['types', () => $`${node} node_modules/typescript/bin/tsc -p .`],
  ['unused files, exports, dependencies', () => $`${node} node_modules/knip/bin/knip.js`],
]
for (const [title, run] of steps) {
  const started = performance.now()
  try {
    await run()
  } catch {
    console.error(`check: ${title}: failed`)
    process.exit(1)
  }
  console.log(`check: ${title}: ok (${((performance.now() - started) / 1000).toFixed(1)} s)`)
}
