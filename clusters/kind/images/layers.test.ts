import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { normalise, withoutThatOf } from './debian.ts'
import { layerStep } from './layers.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'everyhop-layers-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
})

/** A tree with a program, a file and a link. */
function tree(root: string, mode: number): void {
  mkdirSync(join(root, 'usr/bin'), { recursive: true, mode: 0o700 | mode })
  writeFileSync(join(root, 'usr/bin/program'), 'program', { mode: 0o700 | mode })
  writeFileSync(join(root, 'usr/file'), 'file', { mode: 0o600 | mode })
  symlinkSync('usr/bin', join(root, 'bin'))
}

test('equal trees are equal layers, whatever the umask was and whenever they were made', async () => {
  const layer = (name: string, mode: number, time: number) =>
    layerStep(
      {
        name,
        inputs: name,
        make: async (root) => {
          tree(root, mode)
          normalise(root)
          utimesSync(join(root, 'usr/file'), time, time)
        },
      },
      directory,
    )
  const [one, two] = [await layer('one', 0, 1000), await layer('two', 0o055, 2000)]
  expect(one.layer).toEqual(two.layer)
  expect(readFileSync(one.file).equals(readFileSync(two.file))).toBe(true)
  expect(lstatSync(join(one.tree, 'usr/bin/program')).mode & 0o777).toBe(0o755)
  expect(lstatSync(join(one.tree, 'usr/file')).mode & 0o777).toBe(0o644)
})

test('a layer that two images ask for at the same time is made once', async () => {
  let made = 0
  const step = {
    name: 'shared',
    inputs: 1,
    make: async (root: string) => {
      made++
      tree(root, 0)
    },
  }
  const layers = await Promise.all([layerStep(step, directory), layerStep(step, directory)])
  expect(layers[0]).toEqual(layers[1])
  expect(made).toBe(1)
})

test('of a tree on top of another only what that one has not is kept', () => {
  const [below, above] = [join(directory, 'below'), join(directory, 'above')]
  for (const root of [below, above]) tree(root, 0)
  writeFileSync(join(above, 'usr/own'), 'own')
  withoutThatOf(below, above)
  expect(readFileSync(join(above, 'usr/own'), 'utf8')).toBe('own')
  for (const path of ['usr/bin', 'usr/file', 'bin']) expect(existsSync(join(above, path))).toBe(false)
})
