import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { printedFields } from '../harness/evidence/parse/print.ts'
import { generatePackets } from './generate-packets.ts'

test('what the benchmark compares is the same: our reader and tshark print the same bytes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'everyhop-print-'))
  try {
    const capture = join(folder, 'generated.pcapng')
    generatePackets(3000, capture)
    const run = (command: string, args: string[]) =>
      execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 1 << 26 }).split('\n')
    const ours = run(process.execPath, [join(import.meta.dirname, 'print-packets.ts'), capture])
    const theirs = run('tshark', ['-n', '-r', capture, '-T', 'fields', ...printedFields.flatMap((field) => ['-e', field])])
    expect(ours).toHaveLength(3001)
    expect(ours).toEqual(theirs)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
