import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HostSnapshot } from '../../clusters/audit.ts'
import { resultsSchema } from '../../reports/results.ts'
import { complaints, selected } from '../../reports/testing/xmllint.ts'
import { Command, type Ended } from './main-job/command.ts'
import { judge } from './main-job/judge.ts'
import { StandInHost } from './main-job/stand-in-host.ts'

/** Two runs at once, ended in the middle of their requests: one asked to, one killed; then one that is asked to while it begins. */
describe.skipIf(process.getuid?.() !== 0)('a run that is ended in the middle (needs root)', () => {
  const host = new StandInHost()
  const asked = { folder: join(host.folder, 'asked'), signal: 'SIGINT', at: 'requests without a policy' } as const
  const early = { folder: join(host.folder, 'early'), signal: 'SIGINT', at: 'cluster of 2 nodes' } as const
  const killed = { folder: join(host.folder, 'killed'), signal: 'SIGKILL', at: 'requests without a policy' } as const
  let before: HostSnapshot
  let ended: { asked: Ended; killed: Ended; early: Ended }
  /** `clean` right after the kill, beside the other run. */
  let cleaned: Ended
  /** The command after the kill, which matches no case and so does nothing. */
  let told: Ended

  async function endedAt({ folder, signal, at }: { folder: string; signal: NodeJS.Signals; at: string }): Promise<Ended> {
    const command = new Command(host, ['run', '--quick', '--json', '--out', folder])
    await command.said(at)
    host.owners()
    // With its lab, which would else take itself down in the next moment.
    if (signal === 'SIGKILL') host.killLabOf(folder)
    if (signal === 'SIGINT') command.interrupt()
    else command.kill(signal)
    return command.ended
  }

  beforeAll(async () => {
    await host.start()
    before = await host.snapshot()
    const killedAndCleaned = async () => {
      const end = await endedAt(killed)
      told = await new Command(host, ['run', '--case', 'nothing', '--out', join(host.folder, 'nothing')]).ended
      cleaned = await new Command(host, ['clean']).ended
      return end
    }
    const [first, second] = await Promise.all([endedAt(asked), killedAndCleaned()])
    ended = { asked: first, killed: second, early: await endedAt(early) }
  }, 240_000)
  afterAll(() => host[Symbol.asyncDispose]())

  test('asked to: says so, ends with 3, and what it has by then is judged and written', async () => {
    const { code, stdout, stderr } = ended.asked
    expect(stderr).toContain('interrupted: taking everything down, what was collected stays')
    expect(stderr.match(/^everyhop: .*$/gm)).toEqual(['everyhop: the run was interrupted'])
    expect(code).toBe(3)
    const results = resultsSchema.parse(JSON.parse(stdout))
    expect(results.cases.length).toBeGreaterThanOrEqual(12)
    expect(results.totals).toMatchObject({ fail: 0, error: 0 })
    // Its negative controls were still to come, so no case can have passed.
    expect(results.totals.inconclusive).toBe(results.cases.length)
    expect(results.cases[0]!.legs.length).toBeGreaterThan(0)
    expect(await judge(asked.folder)).toEqual({ code: 4, stdout, stderr: '' })
  })

  test('asked to while the mesh is installed: it does not wait for that', () => {
    const { code, stdout, stderr } = ended.early
    expect([code, stdout]).toEqual([3, ''])
    expect(stderr).not.toContain('mesh installed')
    expect(stderr).toMatch(/^everyhop: the run was interrupted\nnothing was collected; the problem is told in \S+summary\.md too\n$/m)
    expect(readFileSync(join(early.folder, 'summary.md'), 'utf8')).toContain('- **problem**: the run was interrupted')
  })

  test('asked to: its reports tell the problem and the verdicts', () => {
    const xml = readFileSync(join(asked.folder, 'junit.xml'), 'utf8')
    expect(complaints(xml)).toBe('')
    expect(selected(xml, 'string(//testsuite[@name="the run itself"]//error/@message)')).toBe('the run was interrupted')
    expect(selected(xml, 'count(//testsuite[@name="inpod@today"]//error[@type="inconclusive"]) >= 12')).toBe('true')
    expect(readFileSync(join(asked.folder, 'summary.md'), 'utf8')).toContain('- **problem**: the run was interrupted')
  })

  test('killed: its folder holds a report that says so, and `judge --out` puts the whole ones in its place', async () => {
    const read = () => readFileSync(join(killed.folder, 'junit.xml'), 'utf8')
    expect(complaints(read())).toBe('')
    expect(selected(read(), 'string(//error/@message)')).toBe('the run has not come to its end')
    const { code, stdout } = await judge(killed.folder, '--out', killed.folder)
    expect(code).toBe(4)
    expect(complaints(read())).toBe('')
    expect(selected(read(), 'count(//error[@type="inconclusive"]) >= 12')).toBe('true')
    expect(readFileSync(join(killed.folder, 'results.json'), 'utf8')).toBe(stdout)
  })

  test('killed: the next command says from which run something may be left, and how to remove it', () => {
    expect(told.stderr.split('\n')[0]).toMatch(
      new RegExp(
        `^everyhop: the run in ${killed.folder} \\(eh-[0-9a-f]{8}\\) was killed and may have left .*processes.*; remove it: bin/everyhop clean$`,
      ),
    )
  })

  test('killed: its bundle is judged, and says that the run did not come to its end', async () => {
    expect(ended.killed.stdout).toBe('')
    const { code, stdout, stderr } = await judge(killed.folder)
    expect([code, stderr]).toEqual([4, ''])
    const results = resultsSchema.parse(JSON.parse(stdout))
    expect(results.notes).toContain('bundle.json: the run did not come to its end')
    expect(results.totals).toMatchObject({ pass: 0, fail: 0, error: 0 })
    expect(results.cases[0]!.legs.flatMap((l) => l.hops).filter((h) => h.verdict === 'pass').length).toBeGreaterThan(10)
  })

  test('asked to, it takes itself down; killed, and after `clean`, it is gone too: the host is as before', async () => {
    expect(host.owners()).toHaveLength(3)
    expect([cleaned.code, cleaned.stderr]).toEqual([0, ''])
    expect(await host.left(before)).toEqual([])
  })
})
