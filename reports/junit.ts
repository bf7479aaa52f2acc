import { captureOf, modeAndRelease, troubleLines } from './case-words.ts'
import type { CaseResult, Results } from './results.ts'
import { quoted } from './shell-words.ts'
import { element } from './xml.ts'

/**
 * `junit.xml`: a test suite for each mode and release, a test case for each cell. The verdict is the type of the result: `fail` is a failure;
 * `inconclusive` and `error` are errors, since neither says that the mesh did well; `unsupported` and cells that were not run are skipped, with their reason.
 * @param problems what went wrong in harness or environment: a suite of its own
 */
export function junitXml(results: Results, problems: readonly string[] = []): string {
  const suites = [...Map.groupBy(results.cases, (c) => modeAndRelease(c))].map(([name, cases]) => suite(name, cases, results))
  const left = results.notRun?.map(({ id, reason }) => ({ name: id, result: skipped('not run', reason) })) ?? []
  if (left.length > 0) suites.push(synthetic('not run', results.startedAt, left))
  if (problems.length > 0) {
    const failed = problems.map((problem, i) => ({ name: `problem ${i + 1}`, result: wrong('error', 'error', problem, problem) }))
    suites.push(synthetic('the run itself', results.startedAt, failed))
  }
  return document(results.run, results.startedAt, suites)
}

/** What stands in the file until the run is over, so that one that is killed does not look as if it had passed. */
export function unfinishedJunitXml(startedAt: string, folder: string): string {
  const text = `The run has not come to its end: it goes on, or it was killed. What it left can be judged: bin/everyhop judge ${quoted(folder)} --out ${quoted(folder)}`
  const result = wrong('error', 'error', 'the run has not come to its end', text)
  return document('', startedAt, [synthetic('the run itself', startedAt, [{ name: 'the run comes to its end', result }])])
}

interface Suite {
  readonly xml: string
  readonly counts: Counts
  readonly seconds: number
}

interface Counts {
  readonly tests: number
  readonly failures: number
  readonly errors: number
  readonly skipped: number
}

function suite(name: string, cases: readonly CaseResult[], results: Results): Suite {
  const count = (...verdicts: CaseResult['verdict'][]) => cases.filter((c) => verdicts.includes(c.verdict)).length
  const counts = {
    tests: cases.length,
    failures: count('fail'),
    errors: count('error', 'inconclusive'),
    skipped: count('unsupported'),
  }
  const seconds = cases.reduce((sum, c) => sum + c.durationMs, 0) / 1000
  const properties = { run: results.run, provider: results.provider, ...flat(results.environment ?? {}) }
  const body = [propertiesOf(properties, 2), ...cases.map((c) => testCase(c, name))]
  return { xml: element('testsuite', { name, ...counts, ...at(results.startedAt, seconds) }, body, 1), counts, seconds }
}

function testCase(c: CaseResult, suiteName: string): string {
  const hops = c.legs.flatMap((l) => l.hops)
  const properties = {
    mode: c.mode,
    release: c.release,
    provider: c.provider,
    ...c.axes,
    verdict: c.verdict,
    hops: `${hops.filter((h) => h.verdict === 'pass').length} of ${hops.length} proven`,
    ...(c.brokenHop ? { brokenHop: c.brokenHop } : {}),
  }
  const capture = captureOf(c)
  const out = [`reproduce: ${c.reproduce}`, ...(capture ? [`[[ATTACHMENT|${capture}]]`] : [])].join('\n')
  const children = [propertiesOf(properties, 3), ...resultOf(c), element('system-out', {}, out, 3)]
  return element('testcase', { classname: suiteName, name: c.id, time: (c.durationMs / 1000).toFixed(3) }, children, 2)
}

function resultOf(c: CaseResult): string[] {
  if (c.verdict === 'pass') return []
  if (c.verdict === 'unsupported') return [skipped('unsupported', c.reason ?? '')]
  const text = troubleLines(c)
    .map(([label, words]) => `${label}: ${words}`)
    .join('\n')
  return [wrong(c.verdict === 'fail' ? 'failure' : 'error', c.verdict, c.reason ?? c.verdict, text)]
}

const wrong = (name: 'failure' | 'error', type: string, message: string, text: string) => element(name, { type, message }, text, 3)
const skipped = (type: string, message: string) => element('skipped', { type, message }, [], 3)

function synthetic(name: string, startedAt: string, cases: readonly { name: string; result: string }[]): Suite {
  const errors = cases.filter((c) => c.result.includes('<error')).length
  const counts = { tests: cases.length, failures: 0, errors, skipped: cases.length - errors }
  const body = cases.map((c) => element('testcase', { classname: name, name: c.name, time: '0' }, [c.result], 2))
  return { xml: element('testsuite', { name, ...counts, ...at(startedAt, 0) }, body, 1), counts, seconds: 0 }
}

function document(run: string, startedAt: string, suites: readonly Suite[]): string {
  const sum = (of: (s: Suite) => number) => suites.reduce((total, s) => total + of(s), 0)
  const counts = {
    tests: sum((s) => s.counts.tests),
    failures: sum((s) => s.counts.failures),
    errors: sum((s) => s.counts.errors),
    skipped: sum((s) => s.counts.skipped),
  }
  const attributes = {
    name: `everyhop${run ? ` ${run}` : ''}`,
    ...counts,
    ...at(
      startedAt,
      sum((s) => s.seconds),
    ),
  }
  const xml = element(
    'testsuites',
    attributes,
    suites.map((s) => s.xml),
  )
  return `<?xml version="1.0" encoding="UTF-8"?>\n${xml}\n`
}

/** Readers of the format take whole seconds in UTC without a zone. */
const at = (startedAt: string, seconds: number) => ({
  time: seconds.toFixed(3),
  timestamp: new Date(startedAt).toISOString().slice(0, 19),
})

const propertiesOf = (values: Readonly<Record<string, string>>, depth: number) =>
  element(
    'properties',
    {},
    Object.entries(values).map(([name, value]) => element('property', { name, value }, [], depth + 1)),
    depth,
  )

function flat(environment: NonNullable<Results['environment']>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).flatMap(([key, value]) =>
      typeof value === 'string' ? [[key, value]] : Object.entries(value).map(([inner, text]) => [`${key}.${inner}`, text]),
    ),
  )
}
