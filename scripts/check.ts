import { $ } from 'zx'

// One command for all checks: format and lint (with the import rules), types, unused code. All are run, also after one has failed.
const fix = process.argv.includes('--fix')
$.verbose = false
$.stdio = ['ignore', 'inherit', 'inherit']
$.preferLocal = true
$.cwd = `${import.meta.dirname}/..`
const node = process.execPath

const steps: [title: string, run: () => Promise<unknown>][] = [
  ['format, lint, imports', () => $`node_modules/.bin/biome check ${fix ? ['--write'] : []} --error-on-warnings --diagnostic-level=warn .`],
  ['types', () => $`${node} node_modules/typescript/bin/tsc -p .`],
  ['types in the browser', () => $`${node} node_modules/typescript/bin/tsc -p reports/html/app`],
  ['unused files, exports, dependencies', () => $`${node} node_modules/knip/bin/knip.js --no-config-hints`],
]
for (const [title, run] of steps) {
  const started = performance.now()
  const seconds = () => ((performance.now() - started) / 1000).toFixed(1)
  try {
    await run()
    console.log(`check: ${title}: ok (${seconds()} s)`)
  } catch {
    console.error(`check: ${title}: failed (${seconds()} s)`)
    process.exitCode = 1
  }
}
