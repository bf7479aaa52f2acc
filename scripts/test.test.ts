import { spawnSync } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'

// The suites under test lie inside the repository, so that they find vitest, and in a folder that git and the project's own tests don't see.
const root = join(import.meta.dirname, '..')
let dir: string
beforeEach(() => {
  mkdirSync(join(root, '.everyhop'), { recursive: true })
  dir = mkdtempSync(join(root, '.everyhop', 'suite-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

function run(files: Record<string, string>, ...args: string[]): { code: number | null; last: string | undefined; all: string } {
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(dir, name), `import { expect, test, beforeAll } from 'vitest'\n${text}`)
  const config = `export default { test: { root: ${JSON.stringify(dir)}, include: ['*.test.ts'] } }`
  writeFileSync(join(dir, 'vitest.config.ts'), config)
  const { EVERYHOP_STARTED: _, EVERYHOP_TALLY: __, ...env } = process.env
  const options = [join(root, 'scripts', 'test.ts'), '--config', join(dir, 'vitest.config.ts'), ...args]
  const { status, stdout, stderr } = spawnSync(process.execPath, options, { encoding: 'utf8', env: { ...env, EVERYHOP_STARTED: '1' } })
  return { code: status, last: stdout.trimEnd().split('\n').at(-1), all: stdout + stderr }
}

const good = `test('a', () => {})\ntest('b', () => {})`

test("all passed: vitest's summary, then the tally as the last line", () => {
  const { code, last, all } = run({ 'x.test.ts': good })
  expect({ code, last }).toEqual({ code: 0, last: '2 passed, 0 failed, 0 skipped' })
  expect(all).toMatch(/^test: set-up took [\d.]+ s\n/)
  expect(stripVTControlCharacters(all)).toMatch(/Tests {2}2 passed \(2\)\n.*\n.* Duration .*\n[\s\S]*2 passed, 0 failed, 0 skipped\n$/)
})

test('failed, skipped and todo tests are counted, and fail the run', () => {
  const { code, last } = run({ 'x.test.ts': `${good}\ntest('c', () => expect(1).toBe(2))\ntest.skip('d', () => {})\ntest.todo('e')` })
  expect({ code, last }).toEqual({ code: 1, last: '2 passed, 1 failed, 2 skipped' })
})

test('a file that does not load, a hook that fails, and an error outside any test are failures too', () => {
  const hook = `beforeAll(() => { throw new Error('no') })\n${good}`
  const stray = `test('c', () => { Promise.reject(new Error('stray')) })`
  const { code, last } = run({ 'x.test.ts': good, 'broken.test.ts': 'syntax error', 'hook.test.ts': hook, 'stray.test.ts': stray })
  expect({ code, last }).toEqual({ code: 1, last: '3 passed, 3 failed, 2 skipped' })
})

test('a filter that matches nothing is no success', () => {
  expect(run({ 'x.test.ts': good }, '-t', 'no such test')).toMatchObject({ code: 2, last: '0 passed, 0 failed, 2 skipped' })
  expect(run({ 'x.test.ts': good }, 'no-such-file')).toMatchObject({ code: 1, last: '0 passed, 0 failed, 0 skipped' })
})

test('where no cluster of kind can be made, their tests are counted as skipped when asked so, and it is said why', {
  timeout: 120_000,
}, () => {
  const { EVERYHOP_STARTED: _, EVERYHOP_TALLY: __, ...env } = process.env
  const options = ['--v8-pool-size=0', join(root, 'scripts', 'test.ts'), '--kind', '--where-possible']
  // Neither docker nor apt-get is there.
  const { status, stdout } = spawnSync(process.execPath, options, { encoding: 'utf8', env: { ...env, PATH: dir } })
  expect(stdout).toMatch(/^test: no cluster of kind can be made here, its tests are skipped: /m)
  const files = globSync('{harness,clusters,images}/**/*.kind.test.ts', { cwd: root }).length
  const [, skipped] = /\n0 passed, 0 failed, (\d+) skipped\n$/.exec(stdout) ?? []
  expect(files).toBeGreaterThan(5)
  expect(Number(skipped)).toBeGreaterThan(files)
  expect(status).toBe(0)
})
