import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { modeNames } from '../modes/index.ts'
import { checkWords, hopWords, legWords } from './words.ts'

const folder = join(import.meta.dirname, '../modes')
const all = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
/** What a mode's tables are written in: its own files, and those that all modes share. */
const textOf = (mode: string) =>
  all
    .filter((name) => !name.includes('/') || name.startsWith(`${mode}/`))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n')

/** The text literals that stand as the first argument of a builder. */
const firstArguments = (mode: string, builder: string) =>
  [...textOf(mode).matchAll(new RegExp(`\\b${builder}\\(\\s*(?:'([^'\\n]+)'|"([^"\\n]+)")`, 'g'))].map(([, a, b]) => (a ?? b)!)

test.for(modeNames)('every leg of mode %s has words for somebody who never saw an ambient mesh', (mode) => {
  const ids = firstArguments(mode, 'leg')
  expect(ids.length).toBeGreaterThan(5)
  expect(ids.filter((id) => !legWords(id, mode))).toEqual([])
})

test.for(modeNames)('so has every hop of mode %s', (mode) => {
  const titles = firstArguments(mode, 'hop')
  // Of hops between the devices of the nodes, the titles stand in a list of steps.
  const steps = [...textOf(mode).matchAll(/\[\s*(?:'([^']+)'|"([^"]+)"),\s*(?:eth0|on)\(/g)].map(([, a, b]) => (a ?? b)!)
  expect(titles.length).toBeGreaterThan(15)
  expect(steps.length).toBeGreaterThan(5)
  expect([...new Set([...titles, ...steps])].filter((title) => !hopWords(title, mode))).toEqual([])
})

test('so has every check of a disruption', () => {
  const judge = join(import.meta.dirname, '../disruption/judge')
  const ids = ['checks.ts', 'controls.ts'].flatMap((name) =>
    [...readFileSync(join(judge, name), 'utf8').matchAll(/\bcheck\(\s*'([a-z]+)'/g)].map(([, id]) => `load/${id}`),
  )
  expect(ids.length).toBeGreaterThan(7)
  expect([...new Set(ids)].filter((id) => !checkWords(id))).toEqual([])
})
