import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { casesOf } from '../matrix/cases.ts'
import { disruptionsOfMeshes, type Mesh } from '../modes/index.ts'
import { BundleWriter } from './bundle-write.ts'
import type { NotRun } from './context.ts'
import { judgeRun } from './judged.ts'

const folder = mkdtempSync(join(tmpdir(), 'everyhop-judged-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const [today] = casesOf('inpod', 'today')
const [other] = casesOf('inpod', '1.21')
const reason = 'its turn did not come'
const leftOut = (c: { id: string } & Mesh): NotRun => ({ id: c.id, mode: c.mode, release: c.release, reason })

function writeBundle(run: string, release: string, startedAt: string, notRun: readonly NotRun[]): void {
  const [c] = casesOf('inpod', release)
  const writer = new BundleWriter(join(run, 'bundle', `inpod-${release}`))
  writer.manifest({ schema: 1, run: 'r', provider: 'lab', mode: 'inpod', release, startedAt, environment: { kernel: '6.1' }, notRun })
  writer.expectation({ index: 0, case: c!, unsupported: 'for this test' })
}

test('of a run that was killed before its second release: those cells are told as not run, and no longer once they are judged', () => {
  const run = mkdtempSync(join(folder, 'run-'))
  const [disruption] = disruptionsOfMeshes([{ mode: 'inpod', release: 'today' }])
  const asked = [leftOut(disruption!), leftOut(other!)]
  writeBundle(run, 'today', '2026-01-01T00:00:00Z', asked)
  // As it is left when the kill comes before anything is in it.
  mkdirSync(join(run, 'bundle', 'inpod-1.21', 'cases'), { recursive: true })
  const killed = judgeRun(run).results
  expect(killed.cases.map((c) => c.id)).toEqual([today!.id])
  expect(killed.notRun).toEqual(asked)

  writeBundle(run, '1.21', '2026-01-01T00:01:00Z', [])
  const whole = judgeRun(run).results
  expect(whole.cases.map((c) => c.id)).toEqual([today!.id, other!.id])
  expect(whole.notRun).toEqual([leftOut(disruption!)])
})

test('a bundle that lost its bundle.json but has evidence is not passed over', () => {
  const run = mkdtempSync(join(folder, 'run-'))
  writeBundle(run, 'today', '2026-01-01T00:00:00Z', [])
  mkdirSync(join(run, 'bundle', 'inpod-1.21', 'evidence'), { recursive: true })
  expect(() => judgeRun(run)).toThrow('bundle.json')
})

test('the line that runs a case again survives a shell, whatever the topology file is called', () => {
  const run = mkdtempSync(join(folder, 'run-'))
  const writer = new BundleWriter(join(run, 'bundle', 'inpod-today'))
  const topology = "it's mine.yaml"
  const startedAt = '2026-01-01T00:00:00Z'
  writer.manifest({ schema: 1, run: 'r', provider: 'lab', mode: 'inpod', release: 'today', startedAt, topology, environment: {} })
  writer.expectation({ index: 0, case: today!, unsupported: 'for this test' })
  expect(judgeRun(run).results.cases[0]!.reproduce).toContain(` --topology 'it'\\''s mine.yaml' --case `)
})
