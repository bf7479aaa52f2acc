import { writeSync } from 'node:fs'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { modeNames, usualMode, usualRelease } from '../modes/index.ts'
import { budget } from './budget.ts'
import { crashText } from './crash.ts'
import { asRoot, isRoot } from './root.ts'

const list = (value: string) => value.split(',').filter(Boolean)
const collect = (value: string, before: string[]) => [...before, value]

function modes(value: string): string[] {
  const wrong = list(value).find((name) => !modeNames.includes(name))
  if (wrong || list(value).length === 0) throw new InvalidArgumentError(`${wrong ?? 'nothing'} is no mode; use ${modeNames.join(', ')}`)
  return list(value)
}

function releases(value: string): string[] {
  if (list(value).length === 0) throw new InvalidArgumentError('no release is named; use today')
  return [...new Set(list(value))]
}

const usually = `what the values file says, else ${usualMode}`
const latest = modeNames.map((mode) => `${usualRelease(mode)} of ${mode}`).join(', ')
const valuesHelp = "settings of the mesh under upstream's names: an IstioOperator or values of its Helm charts, as YAML"
const provider = () => new Option('--provider <name>', 'what the cluster is made of').choices(['lab', 'kind']).default('lab')

function atOnce(value: string): number {
  if (!/^[1-9]\d{0,2}$/.test(value)) throw new InvalidArgumentError('use a whole number from 1 to 999')
  return Number(value)
}

/** With its default where that tells something: a switch is off, and what can be repeated is not there, unless given. */
function describeOption({ description, defaultValue, argChoices }: Option): string {
  const choices = argChoices ? [`one of: ${argChoices.join(', ')}`] : []
  const value = [defaultValue ?? false].flat().join(',')
  const told = [...choices, ...(value && value !== 'false' ? [`default: ${value}`] : [])]
  return told.length > 0 ? `${description} (${told.join('; ')})` : description
}

const program = new Command('everyhop')
  .description('Proves, for every hop of every request, that an ambient mesh redirected the traffic the way its mode promises.')
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'everyhop: ')) })
  .configureHelp({ optionDescription: describeOption })
  .showHelpAfterError('(everyhop VERB --help tells more)')
  .addHelpText(
    'after',
    '\nExit codes: 0 all judged cases passed, 1 the mesh failed, 2 bad usage or nothing matched, 3 harness or environment error or nothing judged, 4 inconclusive.',
  )

let exitCode = 0

// Verbs that make something on this host, or look at it, first say what is left of runs that were killed.
program.hook('preAction', async (_, verb) => {
  if (['down', 'shell', 'clean'].includes(verb.name()) && !isRoot())
    process.stderr.write(`everyhop: what root has made only root can see; fix: ${asRoot()}\n`)
  if (!['run', 'up', 'mutate', 'doctor'].includes(verb.name()) || verb.opts().list) return
  const { leftBehind } = await import('./left-behind.ts')
  for (const line of leftBehind()) process.stderr.write(`everyhop: ${line}\n`)
})

// A crash is ours, never the mesh's, which is what Node's own exit code for it would say. What it was may have no reader any more.
process.on('uncaughtException', (error) => {
  try {
    writeSync(2, `everyhop: ${crashText(error)}\n`)
  } catch {}
  process.exit(3)
})

program
  .command('run')
  .description('start a cluster, install the mesh, make the requests of the matrix, and judge every hop (npm start)')
  .addOption(provider())
  .option('--mode <names>', `redirection modes, separated by commas: ${modeNames.join(', ')} (default: ${usually})`, modes)
  .option(
    '--release <names>',
    `whose behaviour is followed, separated by commas; each is a mesh of its own, one after the other (default: ${latest})`,
    releases,
  )
  .option('--topology <name>', 'a topology that ships with Everyhop, or a YAML file', 'two-nodes')
  .option('--values <file>', valuesHelp)
  .option('--quick', 'only the quick part of the matrix', false)
  .option('--disruptions', 'also change the mesh under load: labels, roll-outs, restarts; some 40 s more for each release', false)
  .option('--case <glob>', 'only cases whose id matches; with ! in front, not those; repeatable', collect, [])
  .option('--list', 'print the ids of the cases and end', false)
  .option('--out <dir>', 'the folder of the run (default: out/TIME)')
  .option('--concurrency <n>', 'cases in flight at once, at most; never two that share a pod', atOnce, 1)
  .option('--budget <time>', 'run what fits (90s, 8m), by what it took before; what is left out is told', budget)
  .option('--keep', 'leave the cluster of the run up, to look into it', false)
  .option('--cluster <name>', 'run on a cluster that is up (everyhop up), with its provider, mode, release and topology')
  .option('--json', 'print results.json instead of text', false)
  .action(async (options, command: Command) => {
    const { runVerb } = await import('./run.ts')
    const chosen = (['provider', 'mode', 'release', 'topology'] as const).filter((name) => command.getOptionValueSource(name) === 'cli')
    exitCode = await runVerb({ ...options, chosen })
  })

program
  .command('up')
  .description('bring up a cluster with mesh and apps that stays; tells it when it stands already')
  .option('--name <name>', 'what to call it', 'default')
  .addOption(provider())
  .option('--node-image <name>', 'what nodes of kind are started from (default: our own image, built when it is first needed)')
  .addOption(new Option('--mode <name>', `redirection mode (default: ${usually})`).choices(modeNames))
  .option('--release <name>', `whose behaviour is followed (default: ${latest})`)
  .option('--topology <name>', 'a topology that ships with Everyhop, or a YAML file', 'two-nodes')
  .option('--values <file>', valuesHelp)
  .option('--json', 'print as JSON', false)
  .action(async (options) => {
    const { up } = await import('./up.ts')
    exitCode = await up(options)
  })

program
  .command('down')
  .description('take a cluster down that is up')
  .argument('[name]', 'its name (default: the only one that is up)')
  .option('--all', 'all that are up, and the Docker daemon of our own if it runs', false)
  .action(async (name: string | undefined, options: { all: boolean }) => {
    const { down } = await import('./up.ts')
    exitCode = await down(name, options)
  })

program
  .command('shell')
  .description('open a shell in the network, file system and processes of a node or pod of a cluster that is up')
  .argument('<place>', 'name of a node or a pod, NAMESPACE/POD, or the beginning of one')
  .argument('[command...]', "run this instead of a shell; its exit code is the verb's (write -- before it)")
  .option('--cluster <name>', 'which cluster (default: the only one that is up)')
  .action(async (place: string, command: string[], options: { cluster?: string }) => {
    const { shell } = await import('./shell.ts')
    exitCode = await shell(place, command, options)
  })

program
  .command('manifests')
  .description("print the mesh's Kubernetes objects as YAML, for kubectl apply --server-side -f -")
  .addOption(new Option('--mode <name>', `redirection mode (default: ${usually})`).choices(modeNames))
  .option('--release <name>', `whose behaviour is followed (default: ${latest})`)
  .option('--values <file>', valuesHelp)
  .action(async (options) => {
    const { manifests } = await import('./manifests.ts')
    exitCode = manifests(options)
  })

program
  .command('judge')
  .description('judge a saved run again, offline, without root')
  .argument('<dir>', 'folder of a run, or of one bundle')
  .option('--json', 'print results.json instead of text', false)
  .option('--out <dir>', 'write the reports of the run there; the run may be one that was killed, and DIR its own folder')
  .action(async (dir: string, options: { json: boolean; out?: string }) => {
    const { judge } = await import('./judge.ts')
    exitCode = await judge(dir, options)
  })

program
  .command('explain')
  .description('tell one request of a run hop by hop, in plain words, with the rule and the packet of each')
  .argument('<case>', 'id of a case, or a glob that only one matches')
  .argument('[run]', 'folder of the run (default: the newest below out/)')
  .option('--json', 'print as JSON', false)
  .addHelpText('after', '\nEnds as a run of only this case would: 0 passed, 1 failed, 3 error or not run, 4 inconclusive.')
  .action(async (glob: string, run: string | undefined, options: { json: boolean }) => {
    const { explain } = await import('./explain.ts')
    exitCode = explain(glob, run, options)
  })

program
  .command('diff')
  .description('tell what changed from one run to another, or where the paths of two releases of one run part')
  .argument('[runs...]', 'folders of two runs, the earlier first; with --release one can do (default: the newest below out/)')
  .option(
    '--release <name>',
    'where its paths part from those of another release; give it twice: of one run, or the first of the first run and the second of the second',
    collect,
    [],
  )
  .option('--json', 'print as JSON', false)
  .addHelpText(
    'after',
    '\nEnds with 0 when nothing got worse; else as a run of only the cases that did: 1 failed, 3 error, 4 inconclusive.',
  )
  .action(async (runs: string[], options: { json: boolean; release: string[] }) => {
    const { diff } = await import('./diff.ts')
    exitCode = diff(runs, options)
  })

program
  .command('mutate')
  .description('seed faults, one at a time, and show which case and hop catches each')
  .addOption(provider())
  .addOption(new Option('--mode <name>', 'redirection mode').choices(modeNames).default(usualMode))
  .option('--release <names>', `whose behaviour is followed, separated by commas (default: ${latest})`, releases)
  .option('--topology <name>', 'a topology that ships with Everyhop, or a YAML file', 'two-nodes')
  .option('--fault <glob>', 'only faults whose id matches; repeatable', collect, [])
  .option('--list', 'print the faults and end', false)
  .option('--out <dir>', 'where the bundles go (default: out/mutate-TIME)')
  .option('--json', 'print as JSON', false)
  .action(async (options) => {
    const { mutateVerb } = await import('./mutate.ts')
    exitCode = await mutateVerb(options)
  })

program
  .command('doctor')
  .description('what this machine lacks, and the fix')
  .option('--json', 'print as JSON', false)
  .option('--fix', 'first install what is missing (Debian packages, a Docker daemon of our own where none can be used)', false)
  .action(async (options: { json: boolean; fix: boolean }) => {
    const { doctor } = await import('./doctor.ts')
    exitCode = await doctor(options)
  })

program
  .command('clean')
  .description('remove what killed runs left, and only that')
  .option(
    '--cache',
    'also what was built to be used again: node image, images, the Docker daemon of our own with all that it has stored',
    false,
  )
  .action(async ({ cache }: { cache: boolean }) => {
    const { clean } = await import('./clean.ts')
    exitCode = await clean({ cache })
  })

try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError)) throw error
  exitCode = error.exitCode === 0 ? 0 : 2
}
// What is written to a pipe may still be on its way; a reader that has gone needs no more.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', ({ code, message }: NodeJS.ErrnoException) => {
    if (code === 'EPIPE') process.exit(exitCode)
    // Results that are cut off, as on a full disk, must not look as if all had gone well.
    try {
      writeSync(2, `everyhop: what was printed is cut off: ${message}\n`)
    } catch {}
    process.exit(3)
  })
  await new Promise((resolve) => stream.write('', resolve))
}
process.exit(exitCode)
