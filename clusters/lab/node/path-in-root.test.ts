import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { fstab } from './fstab.ts'
import { pathInRoot } from './path-in-root.ts'

const root = mkdtempSync(join(tmpdir(), 'everyhop-root-'))
mkdirSync(join(root, 'run/netns'), { recursive: true })
mkdirSync(join(root, 'var'))
symlinkSync('/run', join(root, 'var/run'))
symlinkSync('../run/netns', join(root, 'var/relative'))
symlinkSync('/../../etc', join(root, 'var/out'))
symlinkSync('loop', join(root, 'loop'))
afterAll(() => rmSync(root, { recursive: true }))

test.each([
  ['/', ''],
  ['/var/run/netns/x', '/run/netns/x'],
  ['/var/relative/../y', '/run/y'],
  ['/var/out/passwd', '/etc/passwd'],
  ['/../../../run', '/run'],
  ['/not/there', '/not/there'],
])('%s is followed inside the root', (path, expected) => {
  expect(pathInRoot(root, path)).toBe(root + expected)
})

test('a loop of links ends in an error', () => {
  expect(() => pathInRoot(root, '/loop')).toThrow(/too many symbolic links/)
})

test('fstab fields with white space are escaped', () => {
  expect(fstab([{ source: '/a b', target: '/c\td\\e', options: 'bind' }])).toBe('/a\\040b /c\\011d\\134e none bind 0 0\n')
})
