import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HostSnapshot } from '../../clusters/audit.ts'
import { capturesClaims } from './main-job/captures.ts'
import { type MainJob, mainJob } from './main-job/command.ts'
import { damagedClaims } from './main-job/damaged.ts'
import { indexHtmlClaims } from './main-job/index-html.ts'
import { judgedAgainClaims } from './main-job/judged-again.ts'
import { configDumpClaims, goldens, kernelStateClaims } from './main-job/kernel-state.ts'
import { lawTwoClaims } from './main-job/law-two.ts'
import { littleOfToday, releasesClaims } from './main-job/releases.ts'
import { reportsClaims } from './main-job/reports.ts'
import { resultsClaims, resultsOfJob } from './main-job/results.ts'
import { StandInHost } from './main-job/stand-in-host.ts'
import { toldClaims } from './main-job/told.ts'

/** The quick matrix of 1.21, and after it on the same cluster a little of today's. */
const bothReleases = ['--release', '1.21,today', '--case', littleOfToday]

/** Two quick runs at once; all claims are about what they left. */
describe.skipIf(process.getuid?.() !== 0)('the main job (needs root)', () => {
  const host = new StandInHost()
  let before: HostSnapshot
  let jobs: readonly [MainJob, MainJob]

  beforeAll(async () => {
    await host.start()
    before = await host.snapshot()
    jobs = await Promise.all([mainJob(host, 'one'), mainJob(host, 'two', bothReleases)])
    // Without a run there is nothing to make claims about.
    for (const { code, stdout, stderr } of jobs)
      if (code !== 0) throw new Error(`a quick run ended with ${code}:\n${stderr}\n${notPassed(stdout)}`)
  }, 300_000)
  afterAll(() => host[Symbol.asyncDispose]())

  describe('two side by side', () => {
    test('are two owners, and both pass', () => {
      expect(host.owners()).toHaveLength(2)
      const [one, two] = jobs.map(resultsOfJob)
      expect(one!.totals.pass).toBe(one!.cases.length)
      expect(two!.totals).toMatchObject({ fail: 0, inconclusive: 0, error: 0 })
      expect(two!.run).not.toBe(one!.run)
    })

    test('leave nothing on the host', async () => {
      expect(await host.left(before)).toEqual([])
    })
  })

  const job = () => jobs[0]
  describe('prints and writes its results', () => resultsClaims(job))
  describe('leaves reports', () => reportsClaims(job, host.folder))
  describe('leaves an index.html', () => indexHtmlClaims(job, host.folder))
  describe('is told in words', () => toldClaims(job, host.folder))
  describe('is judged again', () => judgedAgainClaims(job, host.folder))
  describe('leaves captures', () => capturesClaims(job))
  describe('can be judged when it is damaged', () => damagedClaims(job, host.folder))
  describe('leaves kernel state', () => {
    kernelStateClaims(() => job().bundle, goldens.today)
    configDumpClaims(() => job().bundle)
  })
  describe('refers to what its verdicts rest on', () => lawTwoClaims(job))

  describe('in two releases', () => {
    const bundle = (name: string) => join(jobs[1].folder, 'bundle', name)
    releasesClaims(() => jobs[1])
    describe('leaves the kernel state of 1.21', () => kernelStateClaims(() => bundle('inpod-1.21'), goldens['1.21']))
    describe("then of today, and nothing of 1.21's", () => kernelStateClaims(() => bundle('inpod-today'), goldens.today))
  })
})

/** What a run's results say of cases that did not pass; of output that is no results, its beginning. */
function notPassed(stdout: string): string {
  const start = stdout.slice(0, 2000)
  if (!start.startsWith('{')) return start
  const { cases } = JSON.parse(stdout) as { cases: readonly { verdict: string }[] }
  return JSON.stringify(cases.filter(({ verdict }) => verdict !== 'pass' && verdict !== 'unsupported')).slice(0, 4000)
}
