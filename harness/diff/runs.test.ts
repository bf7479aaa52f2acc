import { expect, test } from 'vitest'
import { failedCase, sampleCase, sampleHop, sampleResults } from '../../reports/testing/sample.ts'
import { diffRuns, exitCodeOfDifference } from './runs.ts'
import { runDifferenceText } from './text.ts'

const good = sampleCase()
const bad = failedCase({ id: good.id })

test('a case that fails now is named, with its reason and the hop that changed', () => {
  const d = diffRuns(sampleResults([good], { run: 'a' }), sampleResults([bad], { run: 'b' }))
  expect(d).toMatchObject({ changed: [{ id: good.id, before: 'pass', after: 'fail', reason: bad.reason }], same: 0 })
  expect(d.changed[0]!.hops).toEqual([
    { id: 'app-ztunnel/runs-over-lo', title: 'app → ztunnel: runs over lo', before: 'pass', after: 'fail' },
  ])
  expect(exitCodeOfDifference(d)).toBe(1)
  const text = runDifferenceText(d)
  expect(text).toContain(`${good.id}: pass → fail\n  now: runs over lo`)
  expect(text).toContain('  app → ztunnel: runs over lo: pass → fail\n')
  expect(text).toContain(`run it again: ${bad.reproduce}`)
})

test('two runs of one release each: cases are the same but for it, and hops that only one release has are no change', () => {
  const more = { ...good.legs[0]!, hops: [sampleHop(), sampleHop({ id: 'app-ztunnel/more', title: 'more' })] }
  const old = (over = {}) => sampleCase({ id: good.id.replace('inpod/', 'inpod@1.21/'), release: '1.21', legs: [more], ...over })
  const d = diffRuns(sampleResults([old()], { run: 'a' }), sampleResults([good], { run: 'b' }))
  expect(d).toMatchObject({ sides: ['inpod@1.21', 'inpod'], changed: [], same: 1, added: [], gone: [] })
  expect(runDifferenceText(d)).toMatch(/^a \(inpod@1\.21\) → b \(inpod\): 0 cases changed, 1 are the same, 0 new, 0 gone$/m)
  const worse = diffRuns(sampleResults([old()]), sampleResults([bad]))
  expect(worse.changed).toMatchObject([{ id: good.id, before: 'pass', after: 'fail', hops: [{ id: 'app-ztunnel/runs-over-lo' }] }])
  expect(exitCodeOfDifference(worse)).toBe(1)
  // Of a run that has both, each is compared with itself.
  const both = diffRuns(sampleResults([good, old()]), sampleResults([old({ legs: good.legs })]))
  expect(both).toMatchObject({ same: 0, gone: [{ id: good.id }], changed: [{ id: old().id }] })
})

test('a case that passes again is a change, and nothing got worse', () => {
  const d = diffRuns(sampleResults([bad]), sampleResults([good]))
  expect(d.changed).toMatchObject([{ before: 'fail', after: 'pass', reason: bad.reason }])
  expect(exitCodeOfDifference(d)).toBe(0)
})

test('hops that come and go count, also under the same verdict', () => {
  const more = { ...good, legs: [{ ...good.legs[0]!, hops: [sampleHop(), sampleHop({ id: 'app-ztunnel/more', title: 'more' })] }] }
  expect(diffRuns(sampleResults([good]), sampleResults([more])).changed[0]!.hops).toEqual([
    { id: 'app-ztunnel/more', title: 'app → ztunnel: more', after: 'pass' },
  ])
  expect(diffRuns(sampleResults([more]), sampleResults([good])).changed[0]!.hops).toEqual([
    { id: 'app-ztunnel/more', title: 'app → ztunnel: more', before: 'pass' },
  ])
})

test('new and gone cases are told apart from changed ones; a new one that fails is worse', () => {
  const [x, y] = [sampleCase({ id: 'x' }), failedCase({ id: 'y' })]
  const d = diffRuns(sampleResults([good, x]), sampleResults([good, y]))
  expect(d).toMatchObject({ changed: [], same: 1, added: [{ id: 'y', verdict: 'fail' }], gone: [{ id: 'x', verdict: 'pass' }] })
  expect(exitCodeOfDifference(d)).toBe(1)
  expect(exitCodeOfDifference(diffRuns(sampleResults([good, x]), sampleResults([good])))).toBe(0)
})

test('what is worse decides the exit code as in a run: 3 before 1 before 4', () => {
  const ids = ['x', 'y', 'z']
  const before = sampleResults(ids.map((id) => sampleCase({ id })))
  const after = (...verdicts: ('fail' | 'inconclusive' | 'error')[]) =>
    sampleResults(verdicts.map((verdict, i) => sampleCase({ id: ids[i]!, verdict })))
  expect(exitCodeOfDifference(diffRuns(before, after('inconclusive')))).toBe(4)
  expect(exitCodeOfDifference(diffRuns(before, after('inconclusive', 'fail')))).toBe(1)
  expect(exitCodeOfDifference(diffRuns(before, after('inconclusive', 'fail', 'error')))).toBe(3)
})

test('the ratio of times is the median over what passed in both; only what is much slower is named', () => {
  const timed = (...ms: number[]) => sampleResults(ms.map((durationMs, i) => sampleCase({ id: `${i}`, durationMs })))
  const { timing } = diffRuns(timed(10, 10, 100), timed(20, 5, 151))
  expect(timing).toEqual({ medianRatio: 1.51, cases: 3, slower: [] })
  expect(diffRuns(timed(10, 100), timed(20, 200)).timing).toEqual({
    medianRatio: 2,
    cases: 2,
    slower: [{ id: '1', beforeMs: 100, afterMs: 200 }],
  })
  expect(diffRuns(sampleResults([bad]), sampleResults([good])).timing).toBeUndefined()
})
