import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg, release } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { whenAskedToEnd } from '../harness/cli/asked-to-end.ts'
import { cniPlugin } from './bench/cni-plugin.ts'
import { evidence } from './bench/evidence.ts'
import { packetReader } from './bench/packets.ts'
import type { Options, Part } from './bench/part.ts'
import { ztunnel } from './bench/ztunnel.ts'

// `npm run bench`: how fast something is, against something well known or against itself without something, in paired rounds. Wants the machine for itself.
const parts: Readonly<Record<string, Part>> = { packets: packetReader, ztunnel, evidence, 'cni-plugin': cniPlugin }

function whole(value: string): number {
  if (!/^[1-9]\d{0,5}$/.test(value)) throw new InvalidArgumentError('give a whole number from 1 on')
  return Number(value)
}

function known(value: string, before: string[] = []): string[] {
  if (!Object.hasOwn(parts, value)) throw new InvalidArgumentError(`use ${Object.keys(parts).join(', ')}`)
  return [...before, value]
}

/** Measures one part, prints what came out and writes it. @returns exit code: 0 all goals met, 1 one is not, 3 it could not be measured */
async function measure(what: string, options: Omit<Options, 'say'>, out: string): Promise<number> {
  const say = (line: string) => process.stderr.write(`bench: ${what}: ${line}\n`)
  try {
    const load = loadavg()
    const { lines, figures, goals } = await parts[what]!.run({ ...options, say })
    console.log([what, ...lines, ...goals.map(({ goal, met }) => `goal: ${goal}: ${met ? 'met' : 'NOT met'}`)].join('\n  '))
    const file = join(out, `bench-${what}.json`)
    mkdirSync(out, { recursive: true })
    const machine = { cpus: availableParallelism(), kernel: release(), node: process.version, loadBefore: load, loadAfter: loadavg() }
    writeFileSync(file, `${JSON.stringify({ what, when: new Date().toISOString(), machine, goals, figures }, undefined, 2)}\n`)
    console.log(`  figures: ${file}`)
    return goals.every(({ met }) => met) ? 0 : 1
  } catch (error) {
    say((error as Error).message)
    return 3
  }
}

await new Command('npm run bench --')
  .description(
    'Measures in paired rounds whose order alternates, so that a machine whose speed changes tells the same ratio; prints medians, ratios and whether goals are met, and writes them as JSON. Wants the machine for itself, and root for all but packets.',
  )
  .argument('[what...]', 'which; without a name all, one after the other', known)
  .option('--rounds <n>', 'paired rounds', whole, 5)
  .option('--seconds <n>', 'of each measurement', whole, 3)
  .option('--out <folder>', 'where the figures go, as bench-WHAT.json', 'out')
  .addHelpText(
    'after',
    `
What there is:
${Object.entries(parts)
  .map(([name, { about }]) => `  ${name.padEnd(15)} ${about}`)
  .join('\n')}

Exit codes: 0 all goals met, 1 a goal not met, 2 bad usage, 3 could not be measured.`,
  )
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .action(async (what: readonly string[], { rounds, seconds, out }: { rounds: number; seconds: number; out: string }) => {
    const ending = new AbortController()
    whenAskedToEnd(() => ending.abort(new Error('interrupted')))
    for (const name of what.length > 0 ? what : Object.keys(parts)) {
      if (ending.signal.aborted) break
      const code = await measure(name, { rounds, seconds, signal: ending.signal }, out)
      process.exitCode = Math.max(Number(process.exitCode ?? 0), code)
    }
  })
  .parseAsync()
