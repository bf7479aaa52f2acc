import { expect, test } from 'vitest'
import { annotations } from './annotations.ts'
import { failedCase, sampleCase, sampleResults } from './testing/sample.ts'

test('an error for each failure and problem, a warning for what is inconclusive, nothing for what passed', () => {
  const inconclusive = sampleCase({ id: 'inpod/y', verdict: 'inconclusive', reason: 'no proof' })
  const lines = annotations(sampleResults([sampleCase(), failedCase(), inconclusive]), ['no disk'])
  expect(lines.map((l) => l.split('::')[1])).toEqual([
    'error title=everyhop could not run',
    'error title=inpod/probe/same-node/pod-ip/http%3A fail',
    'warning title=inpod/y%3A inconclusive',
  ])
})

test('what would end a command or a property is escaped', () => {
  const [line = ''] = annotations(sampleResults([failedCase({ id: 'a:b,c%d\r\ne' })]))
  expect(line).toMatch(/^::error title=a%3Ab%2Cc%25d%0D%0Ae%3A fail::runs over lo /)
  expect(line).not.toMatch(/[\r\n]/)
  expect(line).toContain("%0Arun it again: npm start -- --case 'a:b,c%25d%0D%0Ae'")
})

test('at most ten of a kind, the last of them telling of the others', () => {
  const cases = Array.from({ length: 25 }, (_, i) => failedCase({ id: `inpod/${i}` }))
  const lines = annotations(sampleResults(cases))
  expect(lines).toHaveLength(10)
  expect(lines[9]).toMatch(/^::error title=16 more::There are 16 more/)
  expect(annotations(sampleResults(cases.slice(0, 10)))).toHaveLength(10)
})
