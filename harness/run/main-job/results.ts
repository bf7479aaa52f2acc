import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { type Results, resultsSchema } from '../../../reports/results.ts'
import { observations, openBundle } from '../../evidence/bundle.ts'
import { casesOf } from '../../matrix/cases.ts'
import type { MainJob } from './command.ts'

export const resultsOfJob = (job: MainJob): Results => resultsSchema.parse(JSON.parse(job.stdout))

export function resultsClaims(job: () => MainJob): void {
  test('the same on standard output as in its folder, in the form of the schema', () => {
    expect(job().code).toBe(0)
    expect(job().stdout).toBe(readFileSync(join(job().folder, 'results.json'), 'utf8'))
    expect(() => resultsOfJob(job())).not.toThrow()
  })

  test('every quick case of the matrix, in its order, and each passes', () => {
    const quick = casesOf('inpod').filter((c) => c.quick)
    const results = resultsOfJob(job())
    expect(quick.length).toBeGreaterThanOrEqual(12)
    expect(results.cases.map((c) => `${c.id} ${c.verdict}`)).toEqual(quick.map((c) => `${c.id} pass`))
    expect(results.totals).toEqual({ pass: quick.length, fail: 0, unsupported: 0, inconclusive: 0, error: 0 })
    expect(results.notes).toEqual([])
  })

  test('every hop has proofs, all proven', () => {
    for (const c of resultsOfJob(job()).cases) {
      const hops = [...c.legs.flatMap((l) => l.hops), ...c.checks]
      expect(c.legs.length, c.id).toBeGreaterThan(0)
      for (const hop of hops) {
        expect(hop.proofs.length, `${c.id} ${hop.id}`).toBeGreaterThan(0)
        expect(new Set(hop.proofs.map((p) => p.status)), `${c.id} ${hop.id}`).toEqual(new Set(['proven']))
      }
      for (const { vantage, id } of c.legs.flatMap((l) => l.hops)) expect(vantage, id).toMatch(/^(one|two)\/(node|[\w.-]+)(\/[\w-]+)?$/)
    }
  })

  test('every proof points at lines and packets that are in the bundle; only what was not seen points at nothing', () => {
    const bundle = openBundle(job().bundle)
    const seen = new Map(observations(bundle).map((o) => [o.ref, o]))
    // These state that nothing of a kind was seen, or rest on the client's own word in traffic.jsonl.
    const absence =
      /^(the token is readable at no other|packets of the case are seen only|no second SYN|without ".*" the request is refused|no server sees|the client (is refused|gets))/
    // A name server keeps no log of its own.
    const asked = /^(\S+ answers \S+ with |an unmeshed request on the same nodes is served$)/
    const mayPointAtNothing = (c: Results['cases'][number], { kind, expected }: { kind: string; expected: string }) =>
      kind === 'silence' || absence.test(expected) || (c.axes?.protocol === 'dns' && asked.test(expected))
    let proofs = 0
    for (const c of resultsOfJob(job()).cases) {
      for (const proof of [...c.legs.flatMap((l) => l.hops), ...c.checks].flatMap((h) => h.proofs)) {
        proofs++
        if (!mayPointAtNothing(c, proof)) expect(proof.refs, `${c.id}: ${proof.expected}`).not.toEqual([])
        expect(proof.ref, proof.expected).toBe(proof.refs[0])
        for (const ref of proof.refs) expect(seen.has(ref), `${ref} of ${c.id}: ${proof.expected}`).toBe(true)
      }
    }
    expect(proofs).toBeGreaterThan(500)
  })

  test('progress as plain lines, each stage with its time', () => {
    const lines = job().stderr.trimEnd().split('\n')
    const stages = lines.slice(0, -2).map((line) => {
      expect(line).toMatch(/^ *\d+\.\d s {2}\S.* \(\d+\.\d s\)$/)
      return line.replace(/^ *\d+\.\d s {2}/, '').replace(/ \(\d+\.\d s\)$/, '')
    })
    expect(stages).toEqual(
      expect.arrayContaining([
        'cluster of 2 nodes',
        'mesh installed, mode inpod, release today',
        'evidence streams opened',
        'judged and written',
        'cluster taken down',
      ]),
    )
    expect(lines.slice(-2)).toEqual([
      `everything is in ${job().folder} (judge it again: bin/everyhop judge ${job().folder})`,
      `look at it: ${pathToFileURL(join(job().folder, 'index.html'))}`,
    ])
    expect(job().stderr).not.toContain('\x1b')
  })
}
