import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeFolder, makeOutFolder } from './out-folder.ts'

let base: string
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'everyhop-out-'))
})
afterEach(() => rmSync(base, { recursive: true }))

test('a folder is made with its parents; an empty one that is there is taken', () => {
  const folder = join(base, 'a', 'b')
  expect(makeOutFolder(folder)).toBe(folder)
  expect(existsSync(folder)).toBe(true)
  expect(makeOutFolder(folder)).toBe(folder)
})

test('a folder that holds something is refused with the fix', () => {
  writeFileSync(join(base, 'results.json'), '{}')
  expect(() => makeOutFolder(base)).toThrow(/is not empty; fix: choose another folder/)
})

test('no name is not the folder one stands in', () => {
  expect(() => makeFolder('')).toThrow('--out has no folder; fix: name one')
})

test('where no folder can be made, the reason comes at once', () => {
  expect(() => makeOutFolder('/proc/nope/x')).toThrow('/proc/nope/x cannot be used')
  writeFileSync(join(base, 'file'), '')
  expect(() => makeOutFolder(join(base, 'file'))).toThrow('it is a file')
  expect(() => makeOutFolder(join(base, 'file', 'x'))).toThrow(/cannot be used: ENOTDIR/)
})
