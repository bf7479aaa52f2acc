import { cpSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import type { Report } from '../../../reports/html/report.ts'
import { CITED } from '../../report/case.ts'
import type { MainJob } from './command.ts'
import { judge } from './judge.ts'
import { resultsOfJob } from './results.ts'

/** What an index.html carries. */
function reportIn(file: string): Report {
  const [, packed] = /<script id="report" type="application\/gzip">([^<]+)/.exec(readFileSync(file, 'utf8')) ?? []
  return JSON.parse(gunzipSync(Buffer.from(packed ?? '', 'base64')).toString())
}

export function indexHtmlClaims(job: () => MainJob, scratch: string): void {
  test('every case in it, with all evidence that its proofs refer to, in at most 3 MB for a full run', () => {
    const file = join(job().folder, 'index.html')
    const report = reportIn(file)
    const results = resultsOfJob(job())
    expect(report.cases.map((c) => c.id)).toEqual(results.cases.map((c) => c.id))
    for (const [i, c] of report.cases.entries()) {
      const told = [...c.legs.flatMap((l) => l.hops), ...c.checks].flatMap((h) => h.proofs)
      const judged = [...results.cases[i]!.legs.flatMap((l) => l.hops), ...results.cases[i]!.checks].flatMap((h) => h.proofs)
      expect(
        told.map((p) => p.refs.map((ref) => report.evidence[ref]!.ref)),
        c.id,
      ).toEqual(judged.map((p) => p.refs.slice(0, CITED)))
      expect(c.legs.length === 0 || c.request, c.id).toBeTruthy()
    }
    // A full run of both releases is at most eight times a quick one.
    expect(statSync(file).size).toBeLessThan(3_000_000 / 8)
  })

  test('a rule trace is shown with its whole walk, a packet with its bytes', () => {
    const report = reportIn(join(job().folder, 'index.html'))
    const traces = report.evidence.filter((e) => e.kind === 'trace')
    expect(traces.length).toBeGreaterThan(20)
    for (const e of traces) {
      if (!('walk' in e)) throw new Error(`${e.ref} has no walk`)
      expect(report.walks[e.walk]!.lines[e.line], e.ref).toBeDefined()
    }
    const requests = report.evidence.filter((e) => 'info' in e && e.info.startsWith('POST ') && 'bytes' in e)
    const tokens = report.cases.flatMap((c) => c.request?.token ?? [])
    const carried = requests.map((e) => Buffer.from('bytes' in e ? (e.bytes ?? '') : '', 'base64').toString('latin1'))
    expect(carried.some((text) => tokens.some((token) => text.includes(token)))).toBe(true)
  })

  test('made again beside its bundle it is the same, byte for byte; with results of faults beside it, it shows them', async () => {
    const copy = join(scratch, 'index-html')
    cpSync(job().folder, copy, { recursive: true })
    expect((await judge(copy, '--out', copy)).code).toBe(0)
    expect(readFileSync(join(copy, 'index.html'), 'utf8')).toBe(readFileSync(join(job().folder, 'index.html'), 'utf8'))
    const place = { case: 'probe/same-node/pod-ip/http', hop: 'node-app/is-served' }
    const fault = { fault: 'f', title: 't', outcome: 'caught', traffic: place, expected: place, audit: true, cases: [], durationMs: 1 }
    writeFileSync(
      join(copy, 'faults.json'),
      JSON.stringify({ schema: 1, mode: 'inpod', release: 'today', provider: 'lab', faults: [fault] }),
    )
    expect((await judge(copy, '--out', copy)).code).toBe(0)
    expect(reportIn(join(copy, 'index.html')).faults).toEqual({ mode: 'inpod', release: 'today', faults: [fault] })
  })
}
