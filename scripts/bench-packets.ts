/**
 * `bench-packets [PACKETS] [PAIRS]`: our packet reader against tshark, whole process against whole process, printing the same fields of the same generated capture to a file.
 * Runs them in turns, checks that both print the same bytes, and prints each pair's times and ratio. Needs tshark.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { printedFields } from '../harness/evidence/parse/print.ts'

const packets = Number(process.argv[2] ?? 500_000)
const pairs = Number(process.argv[3] ?? 1)
if (!(packets > 0 && pairs > 0)) {
  console.error('usage: bench-packets [PACKETS] [PAIRS]')
  process.exit(2)
}

const folder = mkdtempSync(join(tmpdir(), 'everyhop-bench-'))
try {
  const capture = join(folder, 'capture.pcapng')
  // In a process of its own, so that this one stays small.
  execFileSync(process.execPath, [join(import.meta.dirname, 'generate-packets.ts'), String(packets), capture])
  const ours = [process.execPath, join(import.meta.dirname, 'print-packets.ts'), capture]
  const theirs = ['tshark', '-n', '-r', capture, '-T', 'fields', ...printedFields.flatMap((field) => ['-e', field])]
  const ratios: number[] = []
  for (let i = 0; i < pairs; i++) {
    const [a, b] = i % 2 === 0 ? [time('ours', ours), time('tshark', theirs)] : [time('tshark', theirs), time('ours', ours)].reverse()
    ratios.push(b! / a!)
    console.log(`${packets} packets: ours ${a!.toFixed(2)} s, tshark ${b!.toFixed(2)} s, ratio ${(b! / a!).toFixed(1)}`)
    if (!readFileSync(join(folder, 'ours')).equals(readFileSync(join(folder, 'tshark'))))
      throw new Error('the two print different fields: no comparison')
  }
  ratios.sort((x, y) => x - y)
  console.log(`median ratio ${ratios[ratios.length >> 1]!.toFixed(1)} of ${pairs}, the same ${packets} lines`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

/** Seconds that a command takes from start to end, its output going to a file. */
function time(name: string, [command, ...args]: string[]): number {
  const fd = openSync(join(folder, name), 'w')
  const start = performance.now()
  const { status } = spawnSync(command!, args, { stdio: ['ignore', fd, 'ignore'] })
  const seconds = (performance.now() - start) / 1000
  closeSync(fd)
  if (status !== 0) throw new Error(`${command} ended with ${status}`)
  return seconds
}
