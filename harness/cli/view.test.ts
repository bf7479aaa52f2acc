import { expect, test } from 'vitest'
import type { CaseResult } from '../../reports/results.ts'
import { caseText, summaryText } from './view.ts'

type Proof = CaseResult['checks'][number]['proofs'][number]

const proof: Proof = { kind: 'packet', label: 'observed', status: 'proven', expected: 'syn a → b', refs: ['x#p1'], ref: 'x#p1' }
const hop = { id: 'app-ztunnel/runs-over-lo', title: 'runs over lo', vantage: 'one/demo.a/lo', verdict: 'pass' as const, proofs: [proof] }
const clean: CaseResult = {
  id: 'inpod/x',
  mode: 'inpod',
  release: 'today',
  provider: 'lab',
  verdict: 'pass',
  durationMs: 3,
  legs: [{ id: 'app-ztunnel', title: 'app → ztunnel', row: 'clear', hops: [{ ...hop, proofs: [proof] }] }],
  checks: [],
  reproduce: "npm start -- --case 'inpod/x'",
}
const broken: CaseResult = {
  ...clean,
  verdict: 'fail',
  brokenHop: hop.id,
  reason: 'because',
  legs: [
    {
      ...clean.legs[0]!,
      hops: [{ ...hop, verdict: 'fail', proofs: [{ ...proof, status: 'contradicted', seen: 'a RST', refs: [...proof.refs] }] }],
    },
  ],
}
const plain = { colour: false }

test('a passed case shows each hop of each leg', () => {
  expect(caseText(clean, plain)).toBe('✓ inpod/x  1 of 1 hops proven, 3 ms\n    app → ztunnel  clear   ✓ runs over lo')
})

test('on a terminal its hops go on in the next line, below the first', () => {
  const hops = ['one is long enough', 'two', 'three is longer', 'four'].map((title, i) => ({ ...hop, id: `x/${i}`, title }))
  const text = caseText({ ...clean, legs: [{ ...clean.legs[0]!, hops }] }, { colour: false, width: 62 })
  expect(text.split('\n').slice(1)).toEqual([
    '    app → ztunnel  clear   ✓ one is long enough  ✓ two',
    '                           ✓ three is longer  ✓ four',
  ])
  for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(62)
})

test('a failed case names the hop, what was expected, what was seen, the evidence, and how to run it again', () => {
  const text = caseText(broken, plain)
  for (const part of [
    '✗ runs over lo',
    'broken at: app-ztunnel/runs-over-lo (one/demo.a/lo)',
    'expected: syn a → b',
    'seen: a RST',
    'evidence: x#p1',
    "run it again: npm start -- --case 'inpod/x'",
  ]) {
    expect(text).toContain(part)
  }
})

test('of many that did not pass the end names some, failures first, and counts the others', () => {
  const cases = [...Array.from({ length: 12 }, () => ({ ...clean, verdict: 'inconclusive' as const, reproduce: 'again' })), broken]
  const totals = { pass: 0, fail: 1, unsupported: 0, inconclusive: 12, error: 0 }
  const lines = summaryText(
    { schema: 1, run: 'r', provider: 'lab', release: 'today', startedAt: '', totals, cases, notes: [] },
    plain,
  ).split('\n')
  expect(lines.slice(1)).toEqual([
    "fail: npm start -- --case 'inpod/x'",
    ...new Array<string>(9).fill('inconclusive: again'),
    'and 3 more; each case above ends with the line that runs it again',
  ])
})

test('the summary counts verdicts, hops and proofs, and repeats the command of each failure', () => {
  const totals = { pass: 1, fail: 1, unsupported: 0, inconclusive: 0, error: 0 }
  const text = summaryText(
    { schema: 1, run: 'r', provider: 'lab', release: 'today', startedAt: '', totals, cases: [clean, broken], notes: [] },
    plain,
  )
  expect(text).toBe("1 pass, 1 fail of 2 cases; 1 of 2 hops proven by 1 proofs\nfail: npm start -- --case 'inpod/x'")
})
