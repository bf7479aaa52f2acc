import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { writeAtomically } from './write-atomically.ts'

const folder = mkdtempSync(join(tmpdir(), 'everyhop-write-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('replaces a file, and leaves nothing else; also where it cannot', () => {
  const file = join(folder, 'file')
  for (const content of ['one', 'two']) {
    writeAtomically(file, content)
    expect(readFileSync(file, 'utf8')).toBe(content)
  }
  mkdirSync(join(folder, 'taken'))
  expect(() => writeAtomically(join(folder, 'taken'), 'x')).toThrow(/EISDIR|ENOTEMPTY/)
  expect(readdirSync(folder).toSorted()).toEqual(['file', 'taken'])
})
