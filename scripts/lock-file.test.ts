import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

interface Entry {
  readonly dependencies?: Record<string, string>
  readonly devDependencies?: Record<string, string>
  readonly optionalDependencies?: Record<string, string>
}
const read = (file: string) => JSON.parse(readFileSync(join(import.meta.dirname, '..', file), 'utf8'))

test('package-lock.json is complete: `npm ci` refuses one that lacks other platforms’ optional packages, as `npm install` may write it', () => {
  const packages = read('package-lock.json').packages as Record<string, Entry>
  const missing = Object.entries(packages).flatMap(([from, entry]) =>
    Object.keys({ ...entry.dependencies, ...entry.devDependencies, ...entry.optionalDependencies })
      .filter((name) => !visible(packages, from, name))
      .map((name) => `${from || 'package.json'} → ${name}`),
  )
  expect(missing).toEqual([])
})

test('package.json pins its dependencies', () => {
  const { dependencies, devDependencies } = read('package.json') as Entry
  for (const version of Object.values({ ...dependencies, ...devDependencies })) expect(version).toMatch(/^\d+\.\d+\.\d+$/)
})

/** Whether `name` is found from the package at `from`, as Node looks for it: in its own node_modules and those above. */
function visible(packages: Record<string, Entry>, from: string, name: string): boolean {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('node_modules/') - 1))) {
    if (packages[`${at === '' ? '' : `${at}/`}node_modules/${name}`]) return true
    if (at === '') return false
  }
}
