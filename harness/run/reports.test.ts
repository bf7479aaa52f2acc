import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { failedCase, sampleResults } from '../../reports/testing/sample.ts'
import { complaints } from '../../reports/testing/xmllint.ts'
import { tellGitHub, writeProblems, writeUnfinished } from './reports.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'everyhop-reports-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const results = sampleResults([failedCase()])

test('on GitHub the summary is appended to what the step has, and annotations are printed; elsewhere nothing is', () => {
  const file = join(folder, 'step-summary')
  writeFileSync(file, 'before\n')
  const told: string[] = []
  tellGitHub(results, [], { GITHUB_STEP_SUMMARY: file, GITHUB_ACTIONS: 'true' }, (text) => told.push(text))
  expect(readFileSync(file, 'utf8')).toMatch(/^before\n## Everyhop: ❌ 1 fail\n/)
  expect(told.join('')).toMatch(/^::error title=inpod\/probe\/same-node\/pod-ip\/http%3A fail::.*\n$/)
  tellGitHub(results, ['no disk'], {}, () => told.push('more'))
  expect(told).toHaveLength(1)
})

test("a step's summary that cannot be written, as in a container that has only the variable, is told and takes nothing else away", () => {
  const told: string[] = []
  const file = join(folder, 'not-mounted', 'step-summary')
  tellGitHub(results, [], { GITHUB_STEP_SUMMARY: file, GITHUB_ACTIONS: 'true' }, (text) => told.push(text))
  expect(told[0]).toMatch(/^everyhop: the step's summary could not be written: ENOENT.*summary\.md in the run's folder has it\n$/)
  expect(told[1]).toMatch(/^::error /)
})

test('a run that left nothing to judge has its problem in the annotations', () => {
  const told: string[] = []
  tellGitHub(undefined, ['no disk'], { GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: join(folder, 'none') }, (text) => told.push(text))
  expect(told).toEqual(['::error title=everyhop could not run::no disk\n'])
  expect(readdirSync(folder)).not.toContain('none')
})

test('reports are replaced whole: no draft stays, and each state of the file is a valid one', () => {
  const run = mkdtempSync(join(folder, 'run-'))
  const junit = () => readFileSync(join(run, 'junit.xml'), 'utf8')
  writeUnfinished(run)
  expect([complaints(junit()), readdirSync(run)]).toEqual(['', ['junit.xml']])
  writeProblems(results, ['no disk'], run)
  expect([complaints(junit()), readdirSync(run).sort()]).toEqual(['', ['junit.xml', 'summary.md']])
  expect(junit()).toContain('message="no disk"')
})
