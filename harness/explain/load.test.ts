import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { idealDisruption } from '../disruption/judge/ideal.ts'
import { judgeDisruption } from '../disruption/judge/judge.ts'
import { openBundle } from '../evidence/bundle.ts'
import { Evidence } from '../judge/evidence.ts'
import { rollout } from '../report/testing.ts'
import { storyOf } from './story.ts'
import { storyText } from './text.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'everyhop-explain-load-'))
  mkdirSync(join(folder, 'disruptions'))
  writeFileSync(join(folder, 'disruptions', 'rollout.json'), JSON.stringify(rollout))
  writeFileSync(
    join(folder, 'bundle.json'),
    JSON.stringify({ schema: 1, run: 'r', provider: 'lab', mode: 'inpod', release: 'today', startedAt: '2026-01-01T00:00:00.000Z' }),
  )
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('a disruption is told by its load, what was done meanwhile and when, and what must hold', () => {
  const evidence = new Evidence(idealDisruption(rollout))
  const verdict = judgeDisruption(rollout, evidence)
  expect(verdict.verdict).toBe('pass')
  const words = storyText(storyOf({ bundle: openBundle(folder), evidence }, verdict), { colour: false, width: 120 }).replaceAll(/\s+/g, ' ')
  expect(words).toContain(`${rollout.case.id}: pass, all holds`)
  expect(words).toContain(
    '40 requests went from pod sleep-one-a on node one to pod httpbin-two-a on node two, each on a connection of its own',
  )
  expect(words).toContain("Meanwhile the mesh's proxies (ztunnel) were replaced, node by node.")
  expect(words).toMatch(/Since its begin: 0\.\d\d s asked for, 0\.\d\d s one ready, /)
  expect(words).toContain('What must hold ✓ every request is accounted for Every number that the client gave out has one fate')
})
