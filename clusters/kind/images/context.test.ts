import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { buildContext } from './context.ts'

let directory: string
const write = (file: string, text: string) => writeFileSync(join(directory, file), text)
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'everyhop-context-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  for (const folder of ['images/one', 'images/lib', 'images/two']) mkdirSync(join(directory, folder), { recursive: true })
  write('images/lib/shared.ts', "export const shared: string = 'shared'\n")
  write('images/two/other.ts', 'export const other: number = 2\n')
  write('images/one/main.ts', "import { shared } from '../lib/shared.ts'\nconsole.log(shared)\n")
})
const context = () => buildContext('one', { folder: join(directory, 'images/one'), entry: 'main.ts' }, join(directory, 'cache'))

test("a context holds one file of JavaScript, and is made again when a file of the image's or of lib has changed", async () => {
  const first = await context()
  expect(readdirSync(join(first.directory, 'context'))).toEqual(['main.mjs'])
  expect(await context()).toEqual(first)
  write('images/two/other.ts', 'export const other: number = 3\n')
  expect(await context()).toEqual(first)
  write('images/lib/shared.ts', "export const shared: string = 'changed'\n")
  const second = await context()
  expect(second.key).not.toBe(first.key)
  expect(readFileSync(join(second.directory, 'context/main.mjs'), 'utf8')).toContain('changed')
})

test('code from elsewhere is refused: a change of it would not be seen', async () => {
  write('images/one/main.ts', "import { other } from '../two/other.ts'\nconsole.log(other)\n")
  await expect(context()).rejects.toThrow(
    `images/one/main.ts uses ${join(directory, 'images/two/other.ts')}: an image is made of its own folder, of images/lib and of packages`,
  )
  expect(readdirSync(join(directory, 'cache'))).toEqual([])
})
