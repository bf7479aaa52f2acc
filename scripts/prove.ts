import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { whenAskedToEnd } from '../harness/cli/asked-to-end.ts'
import { makeOutFolder, OutFolderError } from '../harness/run/out-folder.ts'
import { cleanRuns } from './prove/clean-runs.ts'
import { enrolment } from './prove/enrolment.ts'
import { faults } from './prove/faults.ts'
import { kills } from './prove/kills.ts'
import { kindClusters } from './prove/kind-clusters.ts'
import type { Part, Proof } from './prove/part.ts'
import { properties } from './prove/properties.ts'
import { sideBySide } from './prove/side-by-side.ts'
import { warmStart } from './prove/warm-start.ts'

interface Listed {
  readonly part: Part
  /** What it proves, and about how long it takes on two cores that have nothing else to do. */
  readonly help: string
}

// `npm run prove`: the proofs that take too long for every change. `npm run prove -- kills --times 100`
const parts: Readonly<Record<string, Listed>> = {
  'clean-runs': {
    part: cleanRuns,
    help: 'runs of everything in a row, requests and disruptions of every release, in which every case passes; 10 times 2 min',
  },
  'warm-start': { part: warmStart, help: 'npm start where everything is installed, and how much of it is set-up; 5 times 15 s' },
  kills: { part: kills, help: 'runs that are killed at random moments, each cleaned up and judged; 10 times 15 s' },
  faults: {
    part: faults,
    help: 'every fault of every release, each caught by traffic where that was written down before; 15 min a release',
  },
  enrolment: { part: enrolment, help: 'many pods enrolled one after the other and at once, and what an enrolled pod costs; 2 min' },
  properties: { part: properties, help: 'the property tests with new values, many more of them; 5 min' },
  'kind-clusters': {
    part: kindClusters,
    help: 'clusters of kind made and taken down in a row, and as many killed meanwhile; nothing of them stays; 5 times 90 s',
  },
  'side-by-side': { part: sideBySide, help: 'two runs at once, and clean beside them; 30 s' },
}

function whole(value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError('give a whole number')
  return Number(value)
}

function times(value: string): number {
  if (whole(value) < 1) throw new InvalidArgumentError('give a number from 1 on')
  return Number(value)
}

function known(value: string, before: string[] = []): string[] {
  if (!Object.hasOwn(parts, value)) throw new InvalidArgumentError(`use ${Object.keys(parts).join(', ')}`)
  return [...before, value]
}

const newName = (now = new Date()) => `prove-${now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')}`

interface Options {
  readonly times?: number
  readonly seed?: number
  readonly out?: string
}

/** Proves one part after the other; a part that cannot be carried out has failed. @param out a new folder @returns whether all are proven */
async function prove(names: readonly string[], { times, seed = Math.floor(Math.random() * 1e9) }: Options, out: string): Promise<boolean> {
  const ending = new AbortController()
  whenAskedToEnd(() => ending.abort(new Error('interrupted')))
  const sections: string[] = []
  let proven = true
  for (const name of names) {
    if (ending.signal.aborted) break
    const folder = join(out, name)
    mkdirSync(folder, { recursive: true })
    const say = (line: string) => process.stderr.write(`prove: ${name}: ${line}\n`)
    const started = performance.now()
    let proof: Proof
    try {
      proof = await parts[name]!.part({ out: folder, times, seed, signal: ending.signal, say })
    } catch (error) {
      proof = { failures: [(error as Error).message], report: '' }
    }
    const { failures, report } = proof
    proven &&= failures.length === 0
    const head = `## ${name}: ${failures.length === 0 ? 'proven' : 'NOT proven'} (${((performance.now() - started) / 1000).toFixed(0)} s)`
    sections.push([head, report, failures.map((f) => `- ${f}`).join('\n')].filter(Boolean).join('\n\n'))
    // Written after every part: a later one may be cut off.
    writeFileSync(join(out, 'prove.md'), `${sections.join('\n\n')}\n`)
  }
  process.stdout.write(`${sections.join('\n\n')}\n\n`)
  process.stderr.write(`prove: everything is in ${out}\n`)
  return proven && !ending.signal.aborted
}

const program = new Command('npm run prove --')
  .description('The long proofs, all or some, one after the other. They end with a table of the numbers.')
  .argument('[parts...]', 'which of them', known)
  .option('--times <n>', 'how often each repeats (default: as often as is its custom)', times)
  .option('--seed <n>', 'decides the random moments (default: another one each time)', whole)
  .option('--out <dir>', 'where everything goes (default: out/prove-TIME)')
  .addHelpText(
    'after',
    `\nParts:\n${Object.entries(parts)
      .map(([name, { help }]) => `  ${name.padEnd(14)}${help}`)
      .join('\n')}\n`,
  )
  .exitOverride()

try {
  program.parse()
  // Exit code as everywhere: 1, what was to be proven does not hold.
  const options = program.opts<Options>()
  const out = makeOutFolder(options.out ?? join('out', newName()))
  process.exitCode = (await prove(program.args.length > 0 ? program.args : Object.keys(parts), options, out)) ? 0 : 1
} catch (error) {
  if (error instanceof OutFolderError) process.stderr.write(`prove: ${error.message}\n`)
  else if (!(error instanceof CommanderError)) throw error
  process.exitCode = error instanceof CommanderError && error.exitCode === 0 ? 0 : 2
}
