import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { findRun } from './find-run.ts'

const folder = mkdtempSync(join(tmpdir(), 'everyhop-find-run-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('without a name, the newest folder with a bundle; what has none, such as faults, does not count', async () => {
  for (const name of ['b-first', 'a-second']) {
    mkdirSync(join(folder, name, 'bundle'), { recursive: true })
    // A folder's time of birth has the clock tick's resolution.
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  mkdirSync(join(folder, 'mutate-third'))
  expect(findRun(undefined, folder)).toBe(join(folder, 'a-second'))
})

test('nothing there: what was looked for and the fix', () => {
  expect(() => findRun(undefined, join(folder, 'nowhere'))).toThrow(/no run below .*nowhere\/; fix: /)
  expect(() => findRun(join(folder, 'nowhere'))).toThrow(/no folder .*nowhere; fix: /)
  expect(findRun(folder)).toBe(folder)
})
