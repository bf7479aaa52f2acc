import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { isatty } from 'node:tty'
import { line, type Tally } from './tally.ts'
import { whyNoKind } from './why-no-kind.ts'

// `npm test`: all tests beside the code, unit and lab. Arguments go to vitest: `npm test -- clusters/lab -t 'name of a test'`.
// `npm run test:kind` (first argument `--kind`): those that need real clusters in Docker (`*.kind.test.ts`).
// `--where-possible` after it: on a machine that cannot make them, the tests are counted as skipped.
const [lane, ...words] = process.argv[2] === '--kind' ? ['kind', ...process.argv.slice(3)] : ['lab', ...process.argv.slice(2)]
const wherePossible = lane === 'kind' && words[0] === '--where-possible'
const given = wherePossible ? words.slice(1) : words
const root = join(import.meta.dirname, '..')
const directory = mkdtempSync(join(tmpdir(), 'everyhop-test-'))
process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
const file = join(directory, 'tally.json')

const started = Number(process.env.EVERYHOP_STARTED)
if (started > 0) console.log(`test: set-up took ${((performance.timeOrigin - started) / 1000).toFixed(1)} s`)
if (process.getuid?.() !== 0) console.log('test: this is not root: tests that make namespaces are skipped')
const whyNot = wherePossible ? await whyNoKind((line) => console.log(`test: ${line}`)) : undefined
if (whyNot !== undefined) console.log(`test: no cluster of kind can be made here, its tests are skipped: ${whyNot}`)

// Two workers: the lab's tests run whole nodes each, more of them would only wait for each other.
const options = [
  ...(lane === 'kind' ? [`--config=${join(root, 'vitest.kind.config.ts')}`] : ['--maxWorkers=2']),
  '--reporter=default',
  `--reporter=${join(import.meta.dirname, 'tally.ts')}`,
]
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
const child = spawn(process.execPath, ['--v8-pool-size=0', vitest, 'run', ...options, ...given], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
  env: { ...process.env, EVERYHOP_TALLY: file, ...(whyNot === undefined ? {} : { EVERYHOP_SKIP_KIND: '1' }) },
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // Ctrl-C reaches vitest from the terminal itself; a second one would cut its clean-up off.
    if (signal !== 'SIGINT' || ![0, 1, 2].some((fd) => isatty(fd))) child.kill(signal)
  })
}
const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]

// No file: vitest ended before it ran anything, and said why.
const tally: Tally = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { passed: 0, failed: 0, skipped: 0 }
console.log(line(tally))
// Nothing ran is no success either: 2, as for a filter that matches nothing. Unless the caller has asked for that.
const nothing = whyNot === undefined ? 2 : 0
process.exitCode = signal ? 128 + constants.signals[signal] : code || (tally.failed > 0 ? 1 : tally.passed > 0 ? 0 : nothing)
