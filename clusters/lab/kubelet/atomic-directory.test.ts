import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeAtomically } from './atomic-directory.ts'

let directory: string
beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), 'everyhop-atomic-')), 'volume')
})
afterEach(() => rmSync(join(directory, '..'), { recursive: true }))

const payload = (files: Record<string, string>, mode = 0o644) =>
  new Map(Object.entries(files).map(([path, text]) => [path, { data: Buffer.from(text), mode }]))
const content = (path: string) => readFileSync(join(directory, path), 'utf8')

test('files are links through ..data, with their modes', () => {
  expect(writeAtomically(directory, payload({ a: '1', 'deep/b': '2' }, 0o400))).toBe(true)
  expect(content('a')).toBe('1')
  expect(content('deep/b')).toBe('2')
  expect(readlinkSync(join(directory, 'a'))).toBe('..data/a')
  expect(readlinkSync(join(directory, '..data'))).toMatch(/^\.\.\d{4}_/)
  expect(statSync(join(directory, 'a')).mode & 0o777).toBe(0o400)
})

test('the same content changes nothing', () => {
  writeAtomically(directory, payload({ a: '1' }))
  const before = readlinkSync(join(directory, '..data'))
  expect(writeAtomically(directory, payload({ a: '1' }))).toBe(false)
  expect(readlinkSync(join(directory, '..data'))).toBe(before)
})

test('new content replaces the old in one step, and leaves nothing of it', () => {
  writeAtomically(directory, payload({ a: '1', gone: 'x' }))
  const before = readlinkSync(join(directory, '..data'))
  expect(writeAtomically(directory, payload({ a: '2', b: '3' }))).toBe(true)
  expect(readlinkSync(join(directory, '..data'))).not.toBe(before)
  expect(readdirSync(directory).filter((name) => !name.startsWith('..'))).toEqual(['a', 'b'])
  expect(readdirSync(directory)).toHaveLength(4)
  expect(content('a') + content('b')).toBe('23')
})
