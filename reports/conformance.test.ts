import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { conformanceYaml } from './conformance.ts'
import { differences } from './conformance-check.ts'
import { failedCase, sampleCase, sampleResults } from './testing/sample.ts'

const evidence = { bundle: 'bundle/inpod-today', sha256: 'a'.repeat(64), pieces: 7 }
const axes = { traffic: 'mesh-to-mesh', placement: 'same-node', address: 'pod-ip', protocol: 'http', policy: 'none', connection: 'new' }
const deny = sampleCase({ id: 'inpod/denied', axes: { ...axes, policy: 'deny' }, evidence })
const pooled = sampleCase({ id: 'inpod/pooled', axes: { ...axes, connection: 'pooled' }, verdict: 'inconclusive', reason: 'no proof' })
const results = sampleResults([sampleCase({ evidence }), failedCase(), deny, pooled, sampleCase({ id: 'inpod@1.21/x', release: '1.21' })], {
  notRun: [{ id: 'inpod/left', mode: 'inpod', release: 'today', axes, reason: 'over the budget' }],
  environment: { everyhop: '1.2.3', kernel: '6.1', images: { ztunnel: 'sha256:ab' } },
})

test("has the shape of Gateway API's report, under its own apiVersion", () => {
  const report = parse(conformanceYaml(results))
  expect(report).toMatchObject({
    apiVersion: 'conformance.everyhop.dev/v1',
    kind: 'ConformanceReport',
    date: '2026-01-02T03:04:05.678Z',
    mode: 'inpod@today,inpod@1.21',
    implementation: { organization: 'everyhop', project: 'everyhop', version: '1.2.3' },
    environment: { kernel: '6.1', images: { ztunnel: 'sha256:ab' } },
  })
  const [today, other] = report.profiles
  expect(today).toMatchObject({
    name: 'inpod@today',
    summary: 'Core tests failed with 1 test failures. Extended tests partially succeeded with 1 test skips.',
    core: {
      result: 'failure',
      statistics: { Passed: 1, Skipped: 1, Failed: 1 },
      skippedTests: ['inpod/left'],
      failedTests: ['inpod/probe/same-node/pod-ip/http'],
    },
    extended: {
      result: 'partial',
      statistics: { Passed: 1, Skipped: 1, Failed: 0 },
      skippedTests: ['inpod/pooled'],
      supportedFeatures: ['policy=deny'],
      unsupportedFeatures: ['connection=pooled'],
    },
  })
  expect(other).toMatchObject({ name: 'inpod@1.21', core: { result: 'success', statistics: { Passed: 1, Skipped: 0, Failed: 0 } } })
  expect(other.extended).toBeUndefined()
})

test('each test tells its result with the reason, the digest of its evidence and the command', () => {
  const [{ tests }] = parse(conformanceYaml(results)).profiles
  const by = (name: string) => tests.find((t: { name: string }) => t.name === name)
  expect(by('inpod/denied')).toEqual({
    name: 'inpod/denied',
    features: ['policy=deny'],
    result: 'passed',
    evidence,
    reproduce: deny.reproduce,
  })
  expect(by('inpod/probe/same-node/pod-ip/http')).toMatchObject({
    result: 'failed',
    reason: expect.stringContaining('runs over lo: <expected>'),
  })
  expect(by('inpod/pooled')).toMatchObject({ result: 'skipped', reason: 'inconclusive: no proof' })
  expect(by('inpod/left')).toEqual({ name: 'inpod/left', result: 'skipped', reason: 'not run: over the budget' })
})

test('a case without axes is of the feature that its name begins with', () => {
  const report = parse(conformanceYaml(sampleResults([sampleCase({ id: 'inpod/disruption/ztunnel-restart', axes: {} })])))
  expect(report.profiles[0].extended.supportedFeatures).toEqual(['disruption'])
})

test('a report that claims otherwise than the evidence is found out, test by test', () => {
  const anew = conformanceYaml(results)
  expect(differences(anew, anew)).toEqual([])
  const of = (over: Parameters<typeof sampleResults>[0]) => conformanceYaml(sampleResults(over))
  const one = sampleCase({ evidence })
  expect(differences(of([failedCase({ id: one.id })]), of([one]))).toEqual([`${one.id}: the report says failed, the evidence passed`])
  expect(differences(of([{ ...one, evidence: { ...evidence, sha256: 'b' } }]), of([one]))).toEqual([
    `${one.id}: its evidence is not what it was: sha256 b in the report, ${evidence.sha256} now`,
  ])
  expect(differences(of([one, deny]), of([one]))).toEqual(['inpod/denied: the report has it, the evidence does not'])
  expect(differences(of([one]), of([one, deny]))).toEqual(['inpod/denied: the evidence has it, the report does not'])
  for (const text of ['', 'a: b', '{', 'profiles: 1']) expect(differences(text, anew)).toEqual(['it is no conformance report of everyhop'])
})
