import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { exitProgram } from './exit-program.ts'

test('is a program that Linux runs, and that ends with 0', () => {
  const directory = mkdtempSync(join(tmpdir(), 'everyhop-exit-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  const file = join(directory, 'exit')
  writeFileSync(file, exitProgram(), { mode: 0o755 })
  expect(spawnSync(file, { timeout: 10_000 })).toMatchObject({ status: 0, signal: null })
  // The number of the system call is what ends it: another one does not.
  const other = exitProgram()
  other[121] = 39
  writeFileSync(file, other, { mode: 0o755 })
  expect(spawnSync(file, { timeout: 10_000 }).status).not.toBe(0)
})
