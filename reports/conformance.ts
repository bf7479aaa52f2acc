import { stringify } from 'yaml'
import { modeAndRelease } from './case-words.ts'
import type { CaseResult, Results } from './results.ts'

/**
 * What every mesh of this kind must do: these values of an axis. Every other value is a feature of its own, named `AXIS=VALUE`;
 * a case that stands on no axes is one of the feature that its name begins with.
 */
const core: Readonly<Record<string, readonly string[]>> = {
  traffic: ['mesh-to-mesh', 'mesh-to-plain', 'plain-to-mesh', 'probe'],
  placement: ['same-node', 'other-node'],
  address: ['pod-ip', 'cluster-ip'],
  protocol: ['http', 'tcp'],
  policy: ['none'],
  connection: ['new'],
  exchange: ['echo'],
}

interface Test {
  readonly name: string
  readonly profile: string
  /** None: core. */
  readonly features: readonly string[]
  readonly result: 'passed' | 'failed' | 'skipped'
  readonly reason?: string
  readonly evidence?: CaseResult['evidence']
  readonly reproduce?: string
}

/**
 * `conformance.yaml`: the field names of Gateway API's ConformanceReport (GEP-1709), under our own apiVersion; added are each test's reason, the digest
 * of its evidence, the command that reproduces it, and what the run ran on. A function of the results alone: the same bundles give the same bytes.
 */
export function conformanceYaml(results: Results): string {
  const tests = [...results.cases.map(testOf), ...(results.notRun ?? []).map(leftOut)]
  const profiles = [...Map.groupBy(tests, (t) => t.profile)]
  return stringify(
    {
      apiVersion: 'conformance.everyhop.dev/v1',
      kind: 'ConformanceReport',
      date: results.startedAt,
      mode: profiles.map(([name]) => name).join(','),
      implementation: { organization: 'everyhop', project: 'everyhop', version: version(results) },
      run: results.run,
      provider: results.provider,
      environment: results.environment ?? {},
      profiles: profiles.map(([name, those]) => profile(name, those)),
    },
    { lineWidth: 0, aliasDuplicateObjects: false },
  )
}

const version = ({ environment }: Results) => (typeof environment?.everyhop === 'string' ? environment.everyhop : 'unknown')

function testOf(c: CaseResult): Test {
  const result = c.verdict === 'pass' ? 'passed' : c.verdict === 'fail' ? 'failed' : 'skipped'
  // Gateway API knows no fourth result: what was judged and proves nothing was not passed and did not fail.
  const reason = c.verdict === 'pass' ? undefined : c.verdict === 'fail' ? c.reason : `${c.verdict}: ${c.reason ?? ''}`
  return {
    name: c.id,
    profile: modeAndRelease(c),
    features: featuresOf(c.axes, c.id),
    result,
    ...(reason ? { reason } : {}),
    ...(c.evidence ? { evidence: c.evidence } : {}),
    reproduce: c.reproduce,
  }
}

const leftOut = ({ id, mode, release, axes, reason }: NonNullable<Results['notRun']>[number]): Test => ({
  name: id,
  profile: `${mode}@${release}`,
  features: featuresOf(axes, id),
  result: 'skipped',
  reason: `not run: ${reason}`,
})

function featuresOf(axes: Readonly<Record<string, string>> | undefined, id: string): string[] {
  if (!axes || Object.keys(axes).length === 0) return [id.split('/')[1] ?? id]
  return Object.entries(axes)
    .filter(([axis, value]) => !core[axis]?.includes(value))
    .map(([axis, value]) => `${axis}=${value}`)
}

function profile(name: string, tests: readonly Test[]): object {
  const basic = tests.filter((t) => t.features.length === 0)
  const extended = tests.filter((t) => t.features.length > 0)
  const features = [...new Set(extended.flatMap((t) => t.features))].sort()
  const supported = features.filter((f) => extended.every((t) => !t.features.includes(f) || t.result === 'passed'))
  return {
    name,
    summary: `Core ${words(basic)}. Extended ${words(extended)}.`,
    ...(basic.length > 0 ? { core: status(basic) } : {}),
    ...(extended.length > 0
      ? {
          extended: {
            ...status(extended),
            supportedFeatures: supported,
            unsupportedFeatures: features.filter((f) => !supported.includes(f)),
          },
        }
      : {}),
    tests: tests.map(({ name: id, profile: _, features: those, ...rest }) => ({
      name: id,
      ...(those.length > 0 ? { features: those } : {}),
      ...rest,
    })),
  }
}

const named = (tests: readonly Test[], result: Test['result']) => tests.filter((t) => t.result === result).map((t) => t.name)

function status(tests: readonly Test[]): object {
  const [passed, skipped, failed] = (['passed', 'skipped', 'failed'] as const).map((result) => named(tests, result)) as [
    string[],
    string[],
    string[],
  ]
  return {
    result: failed.length > 0 ? 'failure' : skipped.length > 0 ? 'partial' : 'success',
    statistics: { Passed: passed.length, Skipped: skipped.length, Failed: failed.length },
    ...(skipped.length > 0 ? { skippedTests: skipped } : {}),
    ...(failed.length > 0 ? { failedTests: failed } : {}),
  }
}

function words(tests: readonly Test[]): string {
  const [failed, skipped] = [named(tests, 'failed').length, named(tests, 'skipped').length]
  if (tests.length === 0) return 'tests were not asked for'
  if (failed > 0) return `tests failed with ${failed} test failures`
  return skipped > 0 ? `tests partially succeeded with ${skipped} test skips` : 'tests succeeded'
}
