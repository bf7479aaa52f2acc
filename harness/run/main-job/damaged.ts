import { appendFileSync, cpSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { resultsSchema } from '../../../reports/results.ts'
import { PcapngReader } from '../../evidence/parse/pcapng.ts'
import type { MainJob } from './command.ts'
import { judge } from './judge.ts'
import { resultsOfJob } from './results.ts'

/** How a proof would point at the last line or packet of a bundle's file. */
function lastPiece(bundle: string, file: string): string {
  const bytes = readFileSync(join(bundle, file))
  if (!file.endsWith('.pcapng')) return `${file}#L${bytes.toString('utf8').trimEnd().split('\n').length}`
  const reader = new PcapngReader(bytes, file)
  let last = 0
  while (reader.next()) last = reader.index
  return `${file}#p${last}`
}

export function damagedClaims(job: () => MainJob, scratch: string): void {
  const copyOf = (name: string) => {
    const copy = join(scratch, name)
    cpSync(job().bundle, copy, { recursive: true })
    return copy
  }
  const evidenceIn = (copy: string) =>
    readdirSync(join(copy, 'evidence')).flatMap((node) =>
      readdirSync(join(copy, 'evidence', node)).map((file) => `evidence/${node}/${file}`),
    )

  test('cut off in the middle of every file: judged as far as it goes, with a note for each', async () => {
    const copy = copyOf('cut')
    const files = [...evidenceIn(copy), 'traffic.jsonl'].filter((file) => statSync(join(copy, file)).size > 0)
    const lost = new Set(files.map((file) => lastPiece(copy, file)))
    const { case: unfinished } = JSON.parse(readFileSync(join(copy, 'traffic.jsonl'), 'utf8').trimEnd().split('\n').at(-1)!)
    for (const file of files) truncateSync(join(copy, file), statSync(join(copy, file)).size - 3)
    const { endedAt, ...manifest } = JSON.parse(readFileSync(join(copy, 'bundle.json'), 'utf8'))
    expect(endedAt).toBeTypeOf('string')
    writeFileSync(join(copy, 'bundle.json'), JSON.stringify(manifest))
    const { code, stdout, stderr } = await judge(copy)
    expect(stderr).toBe('')
    const results = resultsSchema.parse(JSON.parse(stdout))
    expect(results.cases.map((c) => c.id)).toEqual(resultsOfJob(job()).cases.map((c) => c.id))
    // Only what points at one of the last pieces may miss it; the last request has not even its own line.
    const resting = resultsOfJob(job()).cases.filter(
      ({ id, legs, checks }) =>
        id === unfinished ||
        [...legs.flatMap((l) => l.hops), ...checks].some((h) => h.proofs.some((p) => p.refs.some((ref) => lost.has(ref)))),
    )
    const undecided = results.cases.filter((c) => c.verdict !== 'pass')
    expect(resting.map((c) => c.id)).toEqual(expect.arrayContaining(undecided.map((c) => c.id)))
    expect(undecided.map((c) => c.id)).toContain(unfinished)
    expect(results.totals).toMatchObject({ fail: 0, error: 0, unsupported: 0 })
    expect(code).toBe(4)
    expect(results.notes).toContain('bundle.json: the run did not come to its end')
    const judged = files.filter((file) => !/(interfaces|markers)\.jsonl$/.test(file))
    for (const file of judged)
      expect(
        results.notes.filter((note) => note.startsWith(`${file}: its last `) && note.includes('left out')),
        file,
      ).toHaveLength(1)
  })

  test('cut off in the middle of the run: what was not proven any more is inconclusive, nothing is called broken', async () => {
    const copy = copyOf('half')
    for (const file of [...evidenceIn(copy), 'traffic.jsonl'])
      truncateSync(join(copy, file), Math.floor(statSync(join(copy, file)).size / 2))
    const { code, stdout } = await judge(copy)
    const { totals, cases } = resultsSchema.parse(JSON.parse(stdout))
    expect(cases.filter((c) => c.verdict === 'fail').map((c) => `${c.id}: ${c.reason}`)).toEqual([])
    expect(totals.inconclusive).toBeGreaterThan(0)
    expect(code).toBe(4)
  })

  test.for([
    ['traffic.jsonl', 'garbage\n'],
    ['traffic.jsonl', '{"case":"x"}\n'],
    ['evidence/one/traces.jsonl', '{"t":\n'],
    ['evidence/one/conntrack.jsonl', '[]\n'],
    ['evidence/two/sockets.jsonl', 'null\n'],
    ['evidence/two/logs.jsonl', '\u0000\u0001\n'],
    ['evidence/two/stats.jsonl', '{"t":1,"netns":"node","stream":"packets","lost":"some"}\n'],
  ])('a line of %s that is none: file, line and fix, and no verdicts', async ([file = '', line = '']) => {
    const copy = copyOf(`garbage-${file.replaceAll('/', '-')}-${line.length}`)
    const number = readFileSync(join(copy, file), 'utf8').trimEnd().split('\n').length + 1
    appendFileSync(join(copy, file), line)
    const { code, stdout, stderr } = await judge(copy)
    expect(stderr).toMatch(new RegExp(`^everyhop: ${file}, line ${number}: .+\\. The bundle was changed or damaged: take it again`))
    expect(stderr.trimEnd()).not.toContain('\n')
    expect([code, stdout]).toEqual([3, ''])
  })

  test('packets that are no capture, and an expectation that is none: the file and the fix', async () => {
    const copy = copyOf('no-capture')
    writeFileSync(join(copy, 'evidence/one/packets.pcapng'), 'this is no capture, and long enough to be one')
    expect(await judge(copy)).toMatchObject({
      code: 3,
      stdout: '',
      stderr: expect.stringMatching(/^everyhop: evidence\/one\/packets\.pcapng.*: .+\. .+\n$/),
    })
    const other = copyOf('no-case')
    const [name = ''] = readdirSync(join(other, 'cases'))
    const { path: _, ...rest } = JSON.parse(readFileSync(join(other, 'cases', name), 'utf8'))
    writeFileSync(join(other, 'cases', name), JSON.stringify(rest))
    expect(await judge(other)).toMatchObject({
      code: 3,
      stdout: '',
      stderr: expect.stringMatching(new RegExp(`^everyhop: cases/${name}: path: .+\\. .+\\n$`)),
    })
  })
}
