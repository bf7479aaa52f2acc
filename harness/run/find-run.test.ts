import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { findRun } from './find-run.ts'

const folder = mkdtempSync(join(tmpdir(), 'everyhop-find-run-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('without a name, the newest folder with a bundle; what has none, such as faults, does not count', () => {
  const [first, second] = ['b-first', 'a-second'].map((name) => join(folder, name, 'bundle')) as [string, string]
  mkdirSync(first, { recursive: true })
  mkdirSync(second, { recursive: true })
  // A folder's time of birth has the clock tick's resolution: made anew until it is another.
  while (statSync(second).birthtimeMs <= statSync(first).birthtimeMs) {
    rmSync(second, { recursive: true })
    mkdirSync(second)
  }
  mkdirSync(join(folder, 'mutate-third'))
  expect(findRun(undefined, folder)).toBe(join(folder, 'a-second'))
})

test('nothing there: what was looked for and the fix', () => {
  expect(() => findRun(undefined, join(folder, 'nowhere'))).toThrow(/no run below .*nowhere\/; fix: /)
  expect(() => findRun(join(folder, 'nowhere'))).toThrow(/no folder .*nowhere; fix: /)
  expect(findRun(folder)).toBe(folder)
})
