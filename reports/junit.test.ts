import { expect, test } from 'vitest'
import { junitXml, unfinishedJunitXml } from './junit.ts'
import { failedCase, sampleCase, sampleResults } from './testing/sample.ts'
import { complaints, selected } from './testing/xmllint.ts'

const results = sampleResults(
  [
    sampleCase(),
    failedCase(),
    sampleCase({ id: 'inpod/x/inconclusive', verdict: 'inconclusive', reason: 'no proof', legs: [] }),
    sampleCase({ id: 'inpod/x/error', verdict: 'error', reason: 'no disk' }),
    sampleCase({ id: 'inpod/x/unsupported', verdict: 'unsupported', reason: 'no pair', legs: [], durationMs: 0 }),
    sampleCase({ id: 'inpod@1.21/x', release: '1.21' }),
  ],
  {
    notRun: [{ id: 'inpod/x/left', mode: 'inpod', release: 'today', reason: 'over the budget' }],
    environment: { kernel: '6.1', tools: { nft: '1.0' } },
  },
)
const xml = junitXml(results, ['the disk is full'])

test('is of the common format, whatever words the verdicts hold', () => {
  expect(complaints(xml)).toBe('')
  expect(complaints(junitXml(sampleResults([])))).toBe('')
  expect(complaints(unfinishedJunitXml('2026-01-02T03:04:05.678Z', '/tmp/a & <b>'))).toBe('')
})

test('the schema refuses what readers of the format stumble over', () => {
  for (const [what, by] of [
    ['<testcase ', '<testcase mode="inpod" '],
    ['tests="7"', 'tests="seven"'],
    ['timestamp="2026-01-02T03:04:05"', 'timestamp="2026-01-02T03:04:05.678Z"'],
    ['</failure>', '</failure><skipped/>'],
    [' name="inpod@today"', ''],
  ] as const) {
    const other = xml.includes(what)
      ? xml.replace(what, by)
      : xml.replace(/<testsuite name="inpod@today" tests="5"/, '<testsuite name="inpod@today" tests="five"')
    expect(other).not.toBe(xml)
    expect(complaints(other), `${what} → ${by}`).not.toBe('')
  }
})

test('a suite for each mode and release; the verdict is the type of the result', () => {
  expect(selected(xml, 'count(/testsuites/testsuite)')).toBe('4')
  expect(selected(xml, 'string(//testsuite[@name="inpod@1.21"]/testcase/@name)')).toBe('inpod@1.21/x')
  const typeOf = (id: string, result: string) => selected(xml, `string(//testcase[@name="${id}"]/${result}/@type)`)
  expect(typeOf('inpod/probe/same-node/pod-ip/http', 'failure')).toBe('fail')
  expect(typeOf('inpod/x/inconclusive', 'error')).toBe('inconclusive')
  expect(typeOf('inpod/x/error', 'error')).toBe('error')
  expect(typeOf('inpod/x/unsupported', 'skipped')).toBe('unsupported')
  expect(typeOf('inpod/x/left', 'skipped')).toBe('not run')
  expect(
    selected(xml, 'count(//testcase[@name="inpod/mesh-to-mesh/same-node/pod-ip/http"]/*[self::failure or self::error or self::skipped])'),
  ).toBe('0')
})

test('the counts are those of the cases', () => {
  const suite = '//testsuite[@name="inpod@today"]'
  const counts = ['tests', 'failures', 'errors', 'skipped'].map((name) => selected(xml, `string(${suite}/@${name})`))
  expect(counts).toEqual(['5', '1', '2', '1'])
  for (const [name, element] of [
    ['tests', 'testcase'],
    ['failures', 'failure'],
    ['errors', 'error'],
    ['skipped', 'skipped'],
  ] as const)
    expect(selected(xml, `string(/testsuites/@${name})`), name).toBe(selected(xml, `count(//${element})`))
})

test('each case tells its place in the matrix, the command that runs it again, and its capture', () => {
  const one = '//testcase[@name="inpod/mesh-to-mesh/same-node/pod-ip/http"]'
  for (const [name, value] of [
    ['mode', 'inpod'],
    ['release', 'today'],
    ['provider', 'lab'],
    ['address', 'pod-ip'],
    ['protocol', 'http'],
  ] as const)
    expect(selected(xml, `string(${one}/properties/property[@name="${name}"]/@value)`), name).toBe(value)
  const out = selected(xml, `string(${one}/system-out)`).split('\n')
  expect(out).toEqual([
    "reproduce: npm start -- --case 'inpod/mesh-to-mesh/same-node/pod-ip/http'",
    '[[ATTACHMENT|cases/inpod.mesh-to-mesh.same-node.pod-ip.http/capture.pcapng]]',
  ])
  expect(selected(xml, 'string(//testcase[@name="inpod/x/unsupported"]/system-out)')).not.toContain('ATTACHMENT')
})

test('a failure names the hop, what was expected and what was seen, as they are', () => {
  const failure = '//testcase[@name="inpod/probe/same-node/pod-ip/http"]/failure'
  const text = selected(xml, `string(${failure})`)
  expect(text).toContain('broken at: app-ztunnel/runs-over-lo (one/demo.a/lo)')
  expect(text).toContain('expected: a|b `c`')
  // A character that XML cannot hold is replaced, not dropped and not left in.
  expect(text).toContain('seen: [R] a → b\ufffd')
  expect(text).toContain('likely: rule "-A ISTIO_OUTPUT')
})

test('an unfinished run is an error that tells how to judge what is there', () => {
  const unfinished = unfinishedJunitXml('2026-01-02T03:04:05.678Z', '/tmp/run')
  expect(selected(unfinished, 'string(//error)')).toContain('bin/everyhop judge /tmp/run --out /tmp/run')
  expect(selected(unfinished, 'string(/testsuites/@errors)')).toBe('1')
  const spaced = unfinishedJunitXml('2026-01-02T03:04:05.678Z', '/tmp/my run')
  expect(selected(spaced, 'string(//error)')).toContain("bin/everyhop judge '/tmp/my run' --out '/tmp/my run'")
})
