import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { expect, onTestFinished, test } from 'vitest'
import { bundle, copyNativeModules } from './bundle.ts'

const repository = join(import.meta.dirname, '..')

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'everyhop-bundle-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  return directory
}

test('a bundled program is one file that runs where the repository is not, with its native library beside it', async () => {
  const directory = scratch()
  await bundle({ 'collector.mjs': 'harness/evidence/collector.ts' }, directory)
  expect(readdirSync(directory)).toEqual(['collector.mjs'])
  copyNativeModules(directory)
  // From the root of the file system no module of the repository is found.
  const run = (...args: string[]) =>
    execa(process.execPath, ['--v8-pool-size=0', join(directory, 'collector.mjs'), ...args], { cwd: '/', reject: false, stdin: 'ignore' })
  const usage = await run()
  expect(usage.stderr).toContain('usage: collector.ts NODE [RING]')
  expect(usage.exitCode).toBe(2)
  // Its input ends at once, so it ends in order.
  expect(await run('n1')).toMatchObject({ exitCode: 0, stderr: '' })
})

test('the same source gives the same bytes, and another other ones', async () => {
  const directory = scratch()
  const source = join(repository, 'node_modules', '.cache', `bundle-test-${process.pid}.ts`)
  onTestFinished(() => rmSync(source, { force: true }))
  const bytes = async (text: string, output: string) => {
    writeFileSync(source, text)
    await bundle({ [output]: source.slice(repository.length + 1) }, directory)
    return readFileSync(join(directory, output), 'utf8')
  }
  const program = "import { parse } from 'yaml'\nconsole.log(parse('a: 1') satisfies unknown)\n"
  const first = await bytes(program, 'a/one.mjs')
  expect(await bytes(program, 'b/two.mjs')).toBe(first)
  expect(await bytes(program.replace('a: 1', 'a: 2'), 'b/two.mjs')).not.toBe(first)
  const { stdout } = await execa(process.execPath, ['--v8-pool-size=0', join(directory, 'b/two.mjs')], { cwd: '/' })
  expect(stdout).toBe('{ a: 2 }')
})
