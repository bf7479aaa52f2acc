import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Provider } from '../../clusters/create.ts'
import { fingerprintOf } from '../../clusters/fingerprint.ts'
import { type MeshValues, ValuesError } from '../../clusters/manifests/values/read.ts'
import { findStanding, type Standing, StandingError } from '../../clusters/standing.ts'
import { loadTopology, type Topology, TopologyError } from '../../clusters/topology.ts'
import { bringUp } from '../../clusters/up.ts'
import { quoted } from '../../reports/shell-words.ts'
import type { Disruption } from '../disruption/cells.ts'
import type { Case } from '../matrix/cell.ts'
import { select } from '../matrix/select.ts'
import { casesOfMeshes, disruptionsOfMeshes, type Mesh, meshesOf } from '../modes/index.ts'
import type { NotRun } from '../run/context.ts'
import { makeOutFolder, OutFolderError } from '../run/out-folder.ts'
import { tellGitHub } from '../run/reports.ts'
import { newRunName, type RunView, run } from '../run/run.ts'
import { whenAskedToEnd } from './asked-to-end.ts'
import { fitBudget, rememberCosts } from './budget.ts'
import { lastDuration, rememberDuration } from './durations.ts'
import { ProgressView } from './progress.ts'
import { mayMakeNamespaces } from './root.ts'
import { standingText } from './standing-text.ts'
import { possibleOn } from './topology-limits.ts'
import { modesOf, valuesOf } from './values.ts'
import { caseText, paintOf, summaryText } from './view.ts'

/** Why a run without options makes no disruptions, and how to have them. */
const notAsked = 'changing the mesh under load is asked for by --disruptions'

/** The topology that ships. */
const defaultTopology = 'two-nodes'

export interface RunArguments {
  readonly provider: Provider
  /** @default what the values file says, else the usual one */
  readonly mode?: readonly string[]
  /** @default of each mode its usual one */
  readonly release?: readonly string[]
  readonly topology: string
  /** A file with settings of the mesh. */
  readonly values?: string
  readonly quick: boolean
  /** Change the mesh under load, too; a disruption that `case` names is made anyway. */
  readonly disruptions: boolean
  readonly case: readonly string[]
  readonly list: boolean
  readonly out?: string
  readonly json: boolean
  readonly concurrency: number
  /** Milliseconds. */
  readonly budget?: number
  /** Leave the run's cluster up. */
  readonly keep: boolean
  /** Run on this one, which is up. */
  readonly cluster?: string
  /** Of mode, release and topology those that the command was given. */
  readonly chosen: readonly ('provider' | 'mode' | 'release' | 'topology')[]
}

/** `everyhop run`. @returns the exit code */
export async function runVerb(args: RunArguments): Promise<number> {
  let meshes: readonly Mesh[]
  let standing: Standing | undefined
  let values: MeshValues | undefined
  try {
    standing = args.cluster === undefined ? undefined : findStanding(args.cluster)
    values = standing ? standing.values : valuesOf(args.values, args.mode)
    meshes = standing ? [standing] : meshesOf(modesOf(args.mode, values), args.release)
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof StandingError || error instanceof ValuesError)) throw error
    return usage(error.message)
  }
  const all = casesOfMeshes(meshes)
  const allDisruptions = disruptionsOfMeshes(meshes)
  if (standing && args.values) return usage('--cluster stands with values of its own; fix: everyhop up --values FILE')
  const other = standing && differing(args, standing)
  if (standing && other) {
    const has = `provider ${standing.handle.provider}, mode ${standing.mode}, release ${standing.release}, topology ${standing.topologyGiven}`
    return usage(`cluster ${standing.name} stands with ${has}; fix: leave --${other} out, or bring up another with everyhop up`)
  }
  // What it would prove is said to be of the sources as they are.
  if (standing && standing.fingerprint !== fingerprintOf(standing.topology, standing.nodeImage))
    return usage(
      `cluster ${standing.name} stands, but its images or their manifests have changed since; fix: everyhop down ${standing.name}, then up again`,
    )
  if (standing && args.keep) return usage('--cluster stays up by itself; use --keep without it')
  const asked = select(all, { quick: args.quick, globs: args.case })
  // They take longer than all requests together: who starts for the first time sees those first.
  const disturbing = select(allDisruptions, { quick: !args.disruptions, globs: args.case })
  const unasked = args.quick || args.case.length > 0 ? [] : allDisruptions.filter((c) => !disturbing.includes(c))
  if (asked.length + disturbing.length === 0) return usage(`no case matches ${args.case.join(' ')}; everyhop run --list shows all`)
  const plan = args.budget === undefined ? undefined : fitBudget(asked, disturbing, args.budget)
  const wanted = [...(plan?.cases ?? asked), ...(plan ? [] : disturbing)]
  if (wanted.length === 0) return usage(`${plan?.told}; fix: a longer --budget, or fewer cases`)
  if (args.list) {
    // As they are run: those of one mode and release after the other.
    const inOrder = [...Map.groupBy(wanted, (c) => `${c.mode}-${c.release}`).values()].flat()
    process.stdout.write(`${inOrder.map((c) => `${c.id}${c.quick ? '  (quick)' : ''}`).join('\n')}\n`)
    return 0
  }
  const needed = new Set(wanted.map((c) => `${c.mode} in release ${c.release}`))
  if (args.keep && needed.size > 1) return usage(`--keep leaves one mesh up, and these cases need ${[...needed].join(' and ')}`)
  const topologyGiven = standing?.topologyGiven ?? args.topology
  let topology: Topology
  let out: string
  let cases: Case[]
  let disruptions: Disruption[]
  let barred: NotRun[]
  try {
    topology = standing?.topology ?? loadTopology(args.topology)
    const requests = possibleOn(topology, plan?.cases ?? asked)
    const disturbances = possibleOn(topology, plan ? [] : disturbing)
    ;[cases, disruptions] = [requests.possible, disturbances.possible]
    barred = [...requests.notRun, ...disturbances.notRun]
    if (cases.length + disruptions.length === 0)
      return usage(
        `none of these cases is possible on topology ${topologyGiven}: ${barred[0]?.reason}; fix: another topology, mode or case`,
      )
    if (!mayMakeNamespaces('run')) return 3
    out = makeOutFolder(args.out ?? join('out', newRunName()))
  } catch (error) {
    if (!(error instanceof TopologyError || error instanceof OutFolderError)) throw error
    return usage(error.message)
  }
  const provider = standing?.handle.provider ?? args.provider
  const key = `run ${provider} ${meshes.map((m) => `${m.mode} ${m.release}`).join(',')} ${cases.length + disruptions.length}`
  const started = performance.now()
  const progress = new ProgressView(process.stderr, lastDuration(key))
  const view: RunView = {
    stage: (name, ms) => progress.say(`${name} (${(ms / 1000).toFixed(1)} s)`),
    doing: (text) => progress.doing(text),
    text: (output) => progress.say(output.trimEnd()),
  }
  if (plan) progress.say(plan.told)
  const ending = new AbortController()
  const interrupt = () => {
    progress.say(`interrupted: ${standing ? 'the cluster and' : 'taking everything down,'} what was collected stays`)
    ending.abort()
  }
  whenAskedToEnd(interrupt)
  if (args.keep) {
    const [{ mode, release }] = [...cases, ...disruptions] as [Case | Disruption]
    const name = `kept-${newRunName().replaceAll(/[^a-z0-9]/g, '-')}`
    try {
      standing = await bringUp(
        { provider: args.provider, name, mode, release, topology, topologyGiven, values, valuesGiven: args.values },
        view.doing,
        ending.signal,
      )
      view.stage(`cluster ${name} with mesh and pods`, performance.now() - started)
    } catch (error) {
      progress.end()
      process.stderr.write(`everyhop: ${(error as Error).message}\n`)
      return 3
    }
  }
  const { results, problems, exitCode, costs } = await run(
    {
      provider,
      topology,
      topologyGiven: topologyGiven === defaultTopology ? undefined : topologyGiven,
      values,
      valuesGiven: standing?.valuesGiven ?? args.values,
      cases,
      disruptions,
      notRun: [...(plan?.notRun ?? []), ...barred, ...unasked.map(({ id, mode, release }) => ({ id, mode, release, reason: notAsked }))],
      concurrency: args.concurrency,
      out,
      standing,
      fresh: args.keep,
    },
    view,
    ending.signal,
  )
  progress.end()
  tellGitHub(results, problems)
  if (problems.length === 0) {
    rememberDuration(key, performance.now() - started)
    // On a cluster that was there before, the rest of the time is not that of a run.
    if (!standing) rememberCosts(cases, performance.now() - started, costs)
  }
  const paint = paintOf(process.stdout)
  if (results && args.json) process.stdout.write(`${JSON.stringify(results, null, 1)}\n`)
  else if (results)
    process.stdout.write(`\n${[...results.cases.map((c) => caseText(c, paint)), '', summaryText(results, paint)].join('\n')}\n`)
  for (const problem of problems) process.stderr.write(`everyhop: ${problem}\n`)
  const broken = results?.cases.find((c) => c.verdict === 'fail')
  if (standing) process.stderr.write(`${standingText(standing, 'stays up')}\n`)
  else if (broken) process.stderr.write(`to look into it while it stands: ${broken.reproduce} --keep\n`)
  if (broken) process.stderr.write(`what happened, hop by hop: bin/everyhop explain '${broken.id}' ${quoted(out)}\n`)
  process.stderr.write(
    results
      ? `everything is in ${out} (judge it again: bin/everyhop judge ${quoted(out)})\n`
      : `nothing was collected; the problem is told in ${join(out, 'summary.md')} too\n`,
  )
  if (existsSync(join(out, 'index.html'))) process.stderr.write(`look at it: ${pathToFileURL(join(out, 'index.html'))}\n`)
  return exitCode
}

/** Which of the choices that were made is not as the cluster stands. */
function differing({ chosen, ...args }: RunArguments, { handle, topologyGiven: topology, mode, release }: Standing): string | undefined {
  const stands = { provider: handle.provider, topology, mode, release }
  return chosen.find((what) => `${args[what]}` !== stands[what])
}

export function usage(message: string): number {
  process.stderr.write(`everyhop: ${message}\n`)
  return 2
}
