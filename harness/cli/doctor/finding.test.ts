import { expect, test } from 'vitest'
import { exitCode, type Finding, formatFindings, formatJson } from './finding.ts'

const ok: Finding = { id: 'a', title: 'veth', state: 'ok', fix: 'never shown' }
const warning: Finding = { id: 'b', title: 'leftovers', state: 'warning', detail: 'eh-1', fix: 'everyhop clean' }
const missing: Finding = { id: 'c', title: 'tini', state: 'missing', detail: 'no tini', fix: 'apt-get install tini' }
const unknown: Finding = { id: 'd', title: 'ipset', state: 'unknown', detail: 'only root can tell' }

test('a line each, the fix below what needs one, the sum last', () => {
  expect(formatFindings([ok, warning, missing, unknown])).toBe(
    [
      'ok       veth',
      'warning  leftovers: eh-1',
      '         fix: everyhop clean',
      'missing  tini: no tini',
      '         fix: apt-get install tini',
      'unknown  ipset: only root can tell',
      '1 missing, 1 unknown: a run would not work here',
      '',
    ].join('\n'),
  )
  expect(formatFindings([ok, warning])).toMatch(/\nthis machine has what a run needs\n$/)
  expect(formatFindings([missing])).toMatch(/\n1 missing: a run would not work here\n$/)
})

test.for([
  [[], 0],
  [[ok, warning], 0],
  [[ok, missing], 3],
  [[ok, unknown], 3],
] as const)('exit code of %j', ([findings, code]) => {
  expect(exitCode(findings)).toBe(code)
})

test('JSON says the same to programs', () => {
  expect(JSON.parse(formatJson([ok, missing]))).toEqual({ schema: 1, ready: false, findings: [ok, missing] })
  expect(JSON.parse(formatJson([ok]))).toMatchObject({ ready: true })
})
