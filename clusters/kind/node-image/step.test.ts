import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { built, digestOf } from './step.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'everyhop-step-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
})

const step = (inputs: unknown, made: string[]) => ({
  name: 'a-step',
  inputs,
  make: async (directory: string) => {
    made.push(directory)
    writeFileSync(join(directory, 'result'), JSON.stringify(inputs))
  },
})

/** Lets time pass since a result was asked for. */
const hoursAgo = (directory: string, hours: number) => {
  const time = new Date(Date.now() - hours * 3_600_000)
  utimesSync(directory, time, time)
}

test('a step is made once from the same inputs, and again from others; what nobody has asked for in an hour goes then', async () => {
  const made: string[] = []
  const first = await built(step({ version: 1 }, made), root)
  expect(await built(step({ version: 1 }, made), root)).toEqual(first)
  expect(made).toHaveLength(1)
  const second = await built(step({ version: 2 }, made), root)
  expect(second.key).not.toBe(first.key)
  expect(readFileSync(join(second.directory, 'result'), 'utf8')).toBe('{"version":2}')
  expect(readdirSync(root)).toHaveLength(2)
  hoursAgo(first.directory, 2)
  hoursAgo(second.directory, 2)
  // Asked for again: in use.
  await built(step({ version: 2 }, made), root)
  const third = await built(step({ version: 3 }, made), root)
  expect(readdirSync(root).sort()).toEqual([`a-step-${second.key}`, `a-step-${third.key}`].sort())
})

test('a step leaves results of steps whose names begin like its own', async () => {
  hoursAgo((await built({ ...step(1, []), name: 'a-step-more' }, root)).directory, 2)
  hoursAgo((await built(step(1, []), root)).directory, 2)
  await built(step(2, []), root)
  expect(readdirSync(root).map((name) => name.replace(/-[0-9a-f]{16}$/, ''))).toEqual(['a-step', 'a-step-more'])
})

test('what a killed process left of a step goes with the next that is made; what is being made stays', async () => {
  const left = join(root, `a-step-${'0'.repeat(16)}.99999999`)
  const beingMade = join(root, `a-step-${'1'.repeat(16)}.${process.pid}`)
  for (const directory of [left, beingMade]) {
    mkdirSync(directory)
    hoursAgo(directory, 2)
  }
  const { directory } = await built(step(1, []), root)
  expect(
    readdirSync(root)
      .map((name) => join(root, name))
      .sort(),
  ).toEqual([beingMade, directory].sort())
})

test('a step that fails leaves nothing, and is tried again the next time', async () => {
  const failing = { ...step(1, []), make: () => Promise.reject(new Error('no space')) }
  await expect(built(failing, root)).rejects.toThrow('no space')
  expect(readdirSync(root)).toEqual([])
  const made: string[] = []
  await built(step(1, made), root)
  expect(made).toHaveLength(1)
})

test('the digest of a folder changes with a name or a byte in it, and with nothing else', () => {
  const file = (name: string, text: string) => writeFileSync(join(root, name), text)
  file('a', 'one')
  const before = digestOf(root)
  file('a', 'one')
  expect(digestOf(root)).toBe(before)
  file('a', 'two')
  const other = digestOf(root)
  expect(other).not.toBe(before)
  rmSync(join(root, 'a'))
  file('b', 'two')
  expect(new Set([before, other, digestOf(root)]).size).toBe(3)
})
