import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { complaints, selected } from '../../../reports/testing/xmllint.ts'
import type { MainJob } from './command.ts'
import { judge } from './judge.ts'
import { resultsOfJob } from './results.ts'

const reports = ['results.json', 'junit.xml', 'summary.md']

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
}
