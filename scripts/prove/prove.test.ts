import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { cgroupRoot } from '../../clusters/lab/node/cgroup.ts'
import type { FaultResult } from '../../reports/faults.ts'
import type { Results } from '../../reports/results.ts'
import { lossesOf } from './clean-runs.ts'
import { crashed, finished } from './everyhop.ts'
import { faultsProof } from './faults.ts'
import { median, random, spread, table } from './figures.ts'
import { leftovers, look } from './host.ts'
import { notPassed, stagesTold } from './runs.ts'

describe('figures', () => {
  test('the middle of odd and even many, and of none', () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 2, 3])).toBe(2.5)
    expect(spread([2, 1, 4])).toEqual(['1.00', '2.00', '4.00'])
    expect(spread([])).toEqual(['–', '–', '–'])
  })

  test('a seed decides the numbers, which are spread from 0 to 1', () => {
    const of = (seed: number) => Array.from({ length: 1000 }, random(seed))
    expect(of(7)).toEqual(of(7))
    expect(of(7)).not.toEqual(of(8))
    const tenths = Array.from({ length: 10 }, (_, i) => of(7).filter((x) => x >= i / 10 && x < (i + 1) / 10).length)
    for (const n of tenths) expect(n).toBeGreaterThan(60)
    expect(tenths.reduce((a, b) => a + b)).toBe(1000)
  })

  test('a cell with a bar stays one cell', () => {
    expect(table(['a'], [['x|y']])).toBe('| a |\n| --- |\n| x\\|y |')
  })

  test('stages are read from what a run tells', () => {
    const stderr = '   1.5 s  cluster of 2 nodes (1.1 s)\neveryhop: no\n  12.0 s  judged and written (0.4 s)\n'
    expect(stagesTold(stderr)).toEqual([
      { clock: 1.5, name: 'cluster of 2 nodes', seconds: 1.1 },
      { clock: 12, name: 'judged and written', seconds: 0.4 },
    ])
  })

  test('a stack trace is told from a message', async () => {
    expect(crashed({ stdout: '', stderr: new Error('x').stack ?? '' })).toBe(true)
    expect(crashed({ stdout: '  look at all of it (1:2)\n', stderr: 'everyhop: no\n' })).toBe(false)
    const refused = await finished(['judge', '/nowhere'])
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('/nowhere') })
    expect(crashed(refused)).toBe(false)
  })
})

test('what disruptions cost is told for each run; a run that has no results has a gap', () => {
  const proof = (expected: string) => ({ expected }) as Results['cases'][number]['checks'][number]['proofs'][number]
  const check = (id: string, ...proofs: string[]) => ({ id, proofs: proofs.map(proof) }) as Results['cases'][number]['checks'][number]
  const sums = 'each of 512 requests has one fate (508 delivered, 2 late, 0 duplicated, 1 reset, 1 lost; late: more than 1000 ms)'
  const cases = [
    { id: 'x', checks: [check('load/accounted', 'the client told', sums), check('load/lost', 'at most 2')] },
    { id: 'established', checks: [check('load/accounted', sums)] },
    { id: 'request', checks: [] },
  ] as unknown as Results['cases']
  expect(lossesOf([{ cases }, undefined])).toBe(
    '| lost or reset of requests, late | run 1 | run 2 |\n| --- | --- | --- |\n| x | 2 of 512, 2 | – |',
  )
})

test('a run is clean when nothing fails or stays open: what a release does not promise is no failure', () => {
  const cases = [
    { id: 'a', verdict: 'pass' },
    { id: 'b', verdict: 'unsupported', reason: 'not in this release' },
    { id: 'c', verdict: 'fail', brokenHop: 'leg/hop' },
    { id: 'd', verdict: 'inconclusive', reason: 'no marker' },
  ] as const
  expect(notPassed(cases)).toEqual(['c is fail: leg/hop', 'd is inconclusive: no marker'])
})

describe('faults', () => {
  const there = { case: 'a', hop: 'x' }
  const fault: FaultResult = {
    fault: 'f',
    title: '',
    outcome: 'caught',
    traffic: there,
    expected: there,
    audit: true,
    cases: [],
    durationMs: 1500,
  }
  const failures = (change: object, exitCode = 0, stderr = '') =>
    faultsProof({ faults: [{ ...fault, ...change }] }, { exitCode, stderr, seconds: 2 }).failures

  test('one that is caught where it was expected is proven', () => {
    expect(failures({})).toEqual([])
    expect(faultsProof({ faults: [fault] }, { exitCode: 0, stderr: '', seconds: 2 }).report).toContain(
      '| f | caught | a at x | there | seen | 1.5 |',
    )
  })

  test('one that is caught at another hop is not, nor one that gets through', () => {
    expect(failures({ outcome: 'caught elsewhere', traffic: { case: 'a', hop: 'y' } })).toEqual([
      'f is caught elsewhere: a at y, not a at x',
    ])
    expect(failures({ outcome: 'missed', traffic: undefined, why: 'a: pass' }, 1)).toEqual(['f is not caught: a: pass'])
    expect(failures({ outcome: 'equivalent', traffic: undefined, why: 'a: pass' }, 1)).toEqual(['f is not caught: a: pass'])
  })

  test('one that is declared to be equivalent is no failure; a command that ends badly is', () => {
    expect(failures({ outcome: 'equivalent', traffic: undefined, equivalent: 'says why' })).toEqual([])
    const unfinished = 'mutate ended with 3 before all faults were seeded: everyhop: ztunnel did not come up'
    const stderr = 'g: caught\neveryhop: ztunnel did not come up\n    | its last log line\nthe bundles are in out/x'
    expect(failures({}, 3, stderr)).toEqual([unfinished])
    expect(failures({ outcome: 'missed', traffic: undefined, why: 'a: pass' }, 3, stderr)).toEqual(['f is not caught: a: pass', unfinished])
  })
})

describe('what is left on the host', () => {
  let scratch: string
  const id = `eh-${randomBytes(4).toString('hex')}`
  beforeEach(() => {
    scratch = mkdtempSync(join(tmpdir(), 'everyhop-prove-test-'))
  })
  afterEach(() => rmSync(scratch, { recursive: true, force: true }))
  const left = (before: ReadonlySet<string>) => leftovers(before, { ids: [id], directories: [scratch] }, 0)

  test('a file is found at once', async () => {
    const before = look([scratch])
    writeFileSync(join(scratch, 'file'), '')
    expect(await left(before)).toContain(`+ find files: f ${scratch}/file`)
  })

  test.skipIf(process.getuid?.() !== 0)('so are a cgroup and a process without a parent, not those of other runs', async () => {
    const before = look([scratch])
    const other = `eh-${randomBytes(4).toString('hex')}`
    const cgroups = [id, other].map((name) => join(cgroupRoot(), `${name}-one`))
    const orphan = (owner: string) =>
      Number(
        spawnSync('sh', ['-c', 'sleep 1000 > /dev/null 2>&1 & echo $!'], {
          env: { PATH: process.env.PATH, EVERYHOP_OWNER: owner },
          encoding: 'utf8',
        }).stdout,
      )
    const pids = [id, other].map(orphan)
    try {
      for (const path of cgroups) mkdirSync(path)
      const found = await left(before)
      expect(found).toContain(`+ find cgroups: ${cgroups[0]}`)
      expect(found).toContain(`+ process: ${pids[0]} ${id} sleep 1000`)
      expect(found.filter((line) => line.includes(other))).toEqual([])
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGKILL')
      for (const path of cgroups) rmdirSync(path)
    }
  })

  test.skipIf(process.getuid?.() !== 0)(
    'an unmarked process in namespaces of its own counts only when nobody who lives started it',
    async () => {
      const child = spawn('unshare', ['--net', 'sleep', '1000'], { env: { PATH: process.env.PATH }, stdio: 'ignore' })
      await once(child, 'spawn')
      const grandchild = Number(
        spawnSync('sh', ['-c', 'unshare --net sleep 1001 > /dev/null 2>&1 & echo $!'], {
          env: { PATH: process.env.PATH },
          encoding: 'utf8',
        }).stdout,
      )
      try {
        // Both have entered their namespaces when both are what they are to become.
        await expect
          .poll(() =>
            [child.pid, grandchild].map((pid) =>
              spawnSync('ps', ['-o', 'comm=', '-p', `${pid}`])
                .stdout.toString()
                .trim(),
            ),
          )
          .toEqual(['sleep', 'sleep'])
        const lines = [...look([scratch])].filter((line) => /sleep 100[01]/.test(line))
        expect(lines.filter((line) => line.includes(`${grandchild}`)).length).toBeGreaterThan(0)
        expect(lines.filter((line) => line.includes(`${child.pid}`))).toEqual([])
      } finally {
        process.kill(grandchild, 'SIGKILL')
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
    },
  )
})
