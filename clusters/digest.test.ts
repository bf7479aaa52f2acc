import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { digestOfFolders } from './digest.ts'

let root: string
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'everyhop-digest-'))
  for (const folder of ['a/deep', 'a/testing', 'b']) mkdirSync(join(root, folder), { recursive: true })
  for (const file of ['a/one.ts', 'a/deep/two.ts', 'b/three.ts']) writeFileSync(join(root, file), file)
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

test('is what sha256sum tells of the files', () => {
  const text = execFileSync('sh', ['-c', 'sha256sum a/deep/two.ts a/one.ts b/three.ts | sha256sum'], { cwd: root, encoding: 'utf8' })
  expect(digestOfFolders(root, ['a', 'b'])).toBe(text.split(' ')[0])
})

test('tests do not count; a byte of what runs, and its name, do', () => {
  const before = digestOfFolders(root, ['a', 'b'])
  writeFileSync(join(root, 'a/one.test.ts'), 'test')
  writeFileSync(join(root, 'a/testing/help.ts'), 'help')
  expect(digestOfFolders(root, ['a', 'b'])).toBe(before)
  writeFileSync(join(root, 'b/three.ts'), 'other')
  expect(digestOfFolders(root, ['a', 'b'])).not.toBe(before)
})
