import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { complaints, selected } from '../../../reports/testing/xmllint.ts'
import { PcapngReader } from '../../evidence/parse/pcapng.ts'
import type { MainJob } from './command.ts'
import { judge } from './judge.ts'
import { resultsOfJob } from './results.ts'

const reports = ['results.json', 'junit.xml', 'summary.md', 'conformance.yaml']

export function reportsClaims(job: () => MainJob, scratch: string): void {
  const read = (folder: string, name: string) => readFileSync(join(folder, name), 'utf8')

  test('junit.xml is of the common format, with each case and a capture for each', () => {
    const xml = read(job().folder, 'junit.xml')
    expect(complaints(xml)).toBe('')
    const { cases } = resultsOfJob(job())
    expect(selected(xml, 'count(//testcase)')).toBe(`${cases.length}`)
    expect(selected(xml, 'count(//failure | //error | //skipped)')).toBe('0')
    const attached = [...xml.matchAll(/\[\[ATTACHMENT\|(.*)\]\]/g)].map(([, file]) => file!)
    expect(attached).toHaveLength(cases.length)
    for (const file of attached) expect(existsSync(join(job().folder, file)), file).toBe(true)
    for (const c of cases) expect(Object.keys(c.axes ?? {}), c.id).toEqual(expect.arrayContaining(['traffic', 'protocol', 'address']))
  })

  test('`judge --out` writes the same reports, byte for byte', async () => {
    const again = join(scratch, 'reports-again')
    expect((await judge(job().folder, '--out', again)).code).toBe(0)
    for (const name of reports) expect(read(again, name), name).toBe(read(job().folder, name))
  })

  test('conformance.yaml tells what ran on what, and each test with the digest of its evidence', () => {
    const report = parse(read(job().folder, 'conformance.yaml'))
    const { cases } = resultsOfJob(job())
    expect(report.environment).toMatchObject({
      tools: { iptables: expect.stringMatching(/^iptables v/), nft: expect.stringMatching(/^nftables v/) },
    })
    for (const digest of Object.values(report.environment.images)) expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/)
    const [{ tests }] = report.profiles as [{ tests: { name: string; result: string; evidence: { sha256: string; pieces: number } }[] }]
    expect(tests.map((t) => `${t.name} ${t.result}`)).toEqual(cases.map((c) => `${c.id} passed`))
    expect(new Set(tests.map((t) => t.evidence.sha256)).size).toBe(tests.length)
    // Its expectation, its requests, and all that a proof points at, each once.
    const requests = Map.groupBy(read(job().bundle, 'traffic.jsonl').trimEnd().split('\n'), (line) => JSON.parse(line).case as string)
    for (const [i, { id, legs, checks }] of cases.entries()) {
      const pointedAt = new Set([...legs.flatMap((l) => l.hops), ...checks].flatMap((h) => h.proofs.flatMap((p) => p.refs)))
      expect(pointedAt.size, id).toBeGreaterThan(10)
      expect(tests[i]!.evidence.pieces, id).toBe(1 + requests.get(id)!.length + pointedAt.size)
    }
  })

  test('a byte changed in a packet: `judge` names exactly the tests that rest on it, though their verdicts hold', async () => {
    const copy = join(scratch, 'changed')
    cpSync(job().folder, copy, { recursive: true })
    const { cases } = resultsOfJob(job())
    const [ref = ''] = cases[0]!.legs[0]!.hops.flatMap((h) => h.proofs.filter((p) => p.kind === 'packet').flatMap((p) => p.refs))
    const [file = '', number] = ref.split('#p')
    const capture = join(copy, 'bundle/inpod-today', file)
    const bytes = readFileSync(capture)
    const reader = new PcapngReader(bytes, file)
    while (reader.next() && reader.index < Number(number));
    // The last byte of the destination's hardware address: nothing is judged by it.
    bytes[reader.dataOffset + 5]! ^= 1
    writeFileSync(capture, bytes)
    const { code, stdout, stderr } = await judge(copy)
    expect(code).toBe(3)
    expect(JSON.parse(stdout).totals).toEqual(resultsOfJob(job()).totals)
    const resting = cases.filter((c) =>
      [...c.legs.flatMap((l) => l.hops), ...c.checks].some((h) => h.proofs.some((p) => p.refs.includes(ref))),
    )
    const lines = stderr.trimEnd().split('\n')
    expect(lines.map((l) => /conformance\.yaml: (\S+): its evidence is not what it was: /.exec(l)?.[1])).toEqual(resting.map((c) => c.id))
  })
}
