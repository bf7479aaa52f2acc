import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { printedFields } from '../../harness/evidence/parse/print.ts'
import { inPairs, median, type Part } from './part.ts'

const packets = 500_000
/** How many times as fast as tshark. */
const goal = 20
const scripts = join(import.meta.dirname, '..')

/** Our packet reader against tshark, whole process against whole process, printing the same fields of the same generated capture to a file. */
export const packetReader: Part = {
  about: `the packet reader against tshark: ${packets} packets of one capture, the same fields printed`,
  async run({ rounds, say, signal }) {
    const folder = mkdtempSync(join(tmpdir(), 'everyhop-bench-'))
    try {
      const capture = join(folder, 'capture.pcapng')
      // In a process of its own, so that this one stays small.
      await promisify(execFile)(process.execPath, [join(scripts, 'generate-packets.ts'), String(packets), capture], { signal })
      const printed = printedFields.flatMap((field) => ['-e', field])
      const [ours, theirs] = [join(folder, 'ours'), join(folder, 'tshark')]
      const pairs = await inPairs(
        rounds,
        signal,
        () => time([process.execPath, join(scripts, 'print-packets.ts'), capture], ours, signal),
        async () => {
          const seconds = await time(['tshark', '-n', '-r', capture, '-T', 'fields', ...printed], theirs, signal)
          say(`tshark ${seconds.toFixed(2)} s`)
          return seconds
        },
      )
      if (!readFileSync(ours).equals(readFileSync(theirs))) throw new Error('the two print different fields: no comparison')
      const ratios = pairs.map(([our, their]) => their / our)
      const [our, their, ratio] = [median(pairs.map(([a]) => a)), median(pairs.map(([, b]) => b)), median(ratios)]
      const spread = `${Math.min(...ratios).toFixed(1)} to ${Math.max(...ratios).toFixed(1)}`
      return {
        lines: [
          `${packets} packets: ours ${our.toFixed(2)} s, tshark ${their.toFixed(2)} s, ${ratio.toFixed(1)} times as fast (${rounds} pairs: ${spread})`,
        ],
        figures: { packets, pairs: pairs.map(([a, b]) => ({ ours: a, tshark: b })), median: ratio },
        goals: [{ goal: `at least ${goal} times as fast as tshark`, met: ratio >= goal }],
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
}

/** Seconds that a command takes from start to end, its output going to a file. */
async function time([command = '', ...args]: readonly string[], file: string, signal: AbortSignal): Promise<number> {
  const fd = openSync(file, 'w')
  try {
    const start = performance.now()
    const [code] = (await once(spawn(command, args, { stdio: ['ignore', fd, 'ignore'], signal }), 'exit')) as [number | null]
    if (code !== 0) throw new Error(`${command} ended with ${code}`)
    return (performance.now() - start) / 1000
  } finally {
    closeSync(fd)
  }
}
