import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { observations, openBundle } from '../../evidence/bundle.ts'
import type { TopologyRecord } from '../../evidence/topology-record.ts'
import { casesOf } from '../../matrix/cases.ts'
import { modeOf } from '../../modes/index.ts'
import type { MainJob } from './command.ts'
import { judge } from './judge.ts'
import { resultsOfJob } from './results.ts'

/** Leaves of today's cases those that go through no tunnel between pods. */
export const littleOfToday = '!inpod/{mesh,plain,direct,forged}*/**'

/** Of a run of `--release 1.21,today`: all quick cases of the first, a little of the second. */
export function releasesClaims(job: () => MainJob): void {
  test('one report of both, in the order that was asked for, each case with its release', () => {
    const { cases, release } = resultsOfJob(job())
    const today = casesOf('inpod').filter((c) => c.quick && (c.traffic === 'probe' || c.traffic === 'self'))
    expect(today.map((c) => c.traffic)).toEqual(['probe', 'self'])
    const expected = [...casesOf('inpod', '1.21').filter((c) => c.quick), ...today]
    const { limit } = modeOf('inpod')
    expect(cases.map((c) => [c.id, c.release, c.verdict, c.reason])).toEqual(
      expected.map((c) => [c.id, c.release, limit(c) === undefined ? 'pass' : 'unsupported', limit(c)]),
    )
    expect(release).toBe('1.21,today')
    const of21 = cases.filter((c) => c.id.startsWith('inpod@1.21/'))
    expect(of21.length).toBeGreaterThanOrEqual(12)
    for (const c of of21) expect(c.reproduce).toContain(`--release 1.21 --case '${c.id}'`)
  })

  test('judged again, the same', async () => {
    const { stdout } = await judge(job().folder)
    expect(stdout).toBe(readFileSync(join(job().folder, 'results.json'), 'utf8'))
  })

  test('the first mesh is removed before the second comes', () => {
    const at = (text: string) => job().stderr.indexOf(text)
    const stages = [
      'mesh installed, mode inpod, release 1.21',
      'mesh removed, mode inpod, release 1.21',
      'mesh installed, mode inpod, release today',
    ]
    expect(stages.map(at)).toEqual(stages.map(at).toSorted((a, b) => a - b))
    expect(stages.map(at)).not.toContain(-1)
  })

  test('the state audit finds nothing that is missing, and nothing of the other release', () => {
    for (const name of readdirSync(join(job().folder, 'bundle'))) {
      const directory = join(job().folder, 'bundle', name)
      const bundle = openBundle(directory)
      const topology = JSON.parse(readFileSync(join(directory, 'topology.json'), 'utf8')) as TopologyRecord
      const { mode, release } = bundle.manifest
      const { audit, releases } = modeOf(mode)
      const seen = observations(bundle)
      for (const of of releases) {
        const drift = ['before', 'after'].flatMap((snapshot) => audit(seen, topology, snapshot, of))
        if (of === release) expect(drift, name).toEqual([])
        else expect(drift, `${name} as ${of}`).not.toEqual([])
      }
    }
  })
}
