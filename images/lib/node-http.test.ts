import { execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const images = join(import.meta.dirname, '..')
const run = (code: string) => execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' }).trim()
const loaded = 'console.log(process.moduleLoadList.some((name) => /undici/.test(name)))'

test('node:http comes without undici; imported as it usually is it does not', () => {
  expect(run(`await import(${JSON.stringify(join(images, 'lib/node-http.ts'))}); ${loaded}`)).toBe('false')
  expect(run(`await import('node:http'); ${loaded}`)).toBe('true')
})

test('no image imports node:http itself, but for its types', () => {
  const importing = globSync('**/*.ts', { cwd: images, exclude: ['**/*.test.ts', '**/testing/**', '**/testbed/**'] }).filter((file) =>
    /^import (?!type )(?!\{( type \w+,?)+ \}).* from 'node:http'$/m.test(readFileSync(join(images, file), 'utf8')),
  )
  expect(importing).toEqual([])
})
