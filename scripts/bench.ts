import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, release } from 'node:os'
import { dirname } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { evidence } from './bench/evidence.ts'
import type { Part } from './bench/part.ts'
import { ztunnel } from './bench/ztunnel.ts'

// `npm run bench -- ztunnel`: how fast something is, against something well known or against itself without something, in paired rounds. Wants the machine for itself.
const parts: Readonly<Record<string, Part>> = { evidence, ztunnel }

function whole(value: string): number {
  if (!/^[1-9]\d{0,5}$/.test(value)) throw new InvalidArgumentError('give a whole number from 1 on')
  return Number(value)
}

function known(value: string): string {
  if (!Object.hasOwn(parts, value)) throw new InvalidArgumentError(`use ${Object.keys(parts).join(', ')}`)
  return value
}

await new Command('bench')
  .description('measures in paired rounds whose order alternates; prints medians and ratios, and writes them as JSON')
  .argument('<what>', Object.keys(parts).join(', '), known)
  .option('--rounds <n>', 'paired rounds', whole, 5)
  .option('--seconds <n>', 'of each measurement', whole, 3)
  .option('--out <file>', 'the figures as JSON')
  .action(async (what: string, { rounds, seconds, out }: { rounds: number; seconds: number; out?: string }) => {
    const ending = new AbortController()
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort(new Error('interrupted')))
    const say = (line: string) => process.stderr.write(`bench: ${what}: ${line}\n`)
    try {
      const { lines, figures } = await parts[what]!({ rounds, seconds, say, signal: ending.signal })
      console.log(lines.join('\n'))
      const file = out ?? `out/bench-${what}.json`
      mkdirSync(dirname(file), { recursive: true })
      const machine = { cpus: availableParallelism(), kernel: release(), node: process.version }
      writeFileSync(file, `${JSON.stringify({ what, when: new Date().toISOString(), machine, figures }, undefined, 2)}\n`)
      console.log(`figures: ${file}`)
    } catch (error) {
      console.error(`bench: ${what}: ${(error as Error).message}`)
      process.exitCode = 3
    }
  })
  .parseAsync()
