import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { loadTopology, TopologyError } from '../../clusters/topology.ts'
import type { Disruption } from '../disruption/cells.ts'
import type { Case } from '../matrix/cell.ts'
import { select } from '../matrix/select.ts'
import { casesOfModes, disruptionsOfModes } from '../modes/index.ts'
import { makeOutFolder, OutFolderError } from '../run/out-folder.ts'
import { tellGitHub } from '../run/reports.ts'
import { newRunName, type RunView, run } from '../run/run.ts'
import { lastDuration, rememberDuration } from './durations.ts'
import { ProgressView } from './progress.ts'
import { caseText, summaryText } from './view.ts'

/** The topology that ships. */
const defaultTopology = 'two-nodes'

export interface RunArguments {
  readonly provider: 'lab'
  readonly mode: readonly string[]
  readonly release: readonly string[]
  readonly topology: string
  readonly quick: boolean
  readonly case: readonly string[]
  readonly list: boolean
  readonly out?: string
  readonly json: boolean
}

/** `everyhop run`. @returns the exit code */
export async function runVerb(args: RunArguments): Promise<number> {
  let all: Case[]
  let allDisruptions: Disruption[]
  try {
    all = casesOfModes(args.mode, args.release)
    allDisruptions = disruptionsOfModes(args.mode, args.release)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return usage(error.message)
  }
  const selection = { quick: args.quick, globs: args.case }
  const cases = select(all, selection)
  const disruptions = select(allDisruptions, selection)
  const count = cases.length + disruptions.length
  if (count === 0) return usage(`no case matches ${args.case.join(' ')}; everyhop run --list shows all`)
  if (args.list) {
    // As they are run: those of one mode and release after the other.
    const inOrder = [...Map.groupBy([...cases, ...disruptions], (c) => `${c.mode}-${c.release}`).values()].flat()
    process.stdout.write(`${inOrder.map((c) => `${c.id}${c.quick ? '  (quick)' : ''}`).join('\n')}\n`)
    return 0
  }
  let topology: ReturnType<typeof loadTopology>
  let out: string
  try {
    topology = loadTopology(args.topology)
    out = makeOutFolder(args.out ?? join('out', newRunName()))
  } catch (error) {
    if (!(error instanceof TopologyError || error instanceof OutFolderError)) throw error
    return usage(error.message)
  }
  const key = `run ${args.provider} ${args.mode.join(',')} ${args.release.join(',')} ${count}`
  const started = performance.now()
  const progress = new ProgressView(process.stderr, lastDuration(key))
  const view: RunView = {
    stage: (name, ms) => progress.say(`${name} (${(ms / 1000).toFixed(1)} s)`),
    doing: (text) => progress.doing(text),
    text: (output) => progress.say(output.trimEnd()),
  }
  const ending = new AbortController()
  const interrupt = () => {
    progress.say('interrupted: taking everything down, what was collected stays')
    ending.abort()
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt)
  const { results, problems, exitCode } = await run(
    {
      provider: args.provider,
      topology,
      topologyGiven: args.topology === defaultTopology ? undefined : args.topology,
      cases,
      disruptions,
      out,
    },
    view,
    ending.signal,
  )
  progress.end()
  tellGitHub(results, problems)
  if (problems.length === 0) rememberDuration(key, performance.now() - started)
  const paint = { colour: process.stdout.isTTY === true }
  if (results && args.json) process.stdout.write(`${JSON.stringify(results, null, 1)}\n`)
  else if (results)
    process.stdout.write(`\n${[...results.cases.map((c) => caseText(c, paint)), '', summaryText(results, paint)].join('\n')}\n`)
  for (const problem of problems) process.stderr.write(`everyhop: ${problem}\n`)
  process.stderr.write(`everything is in ${out} (judge it again: bin/everyhop judge ${out})\n`)
  if (existsSync(join(out, 'index.html'))) process.stderr.write(`look at it: ${pathToFileURL(join(out, 'index.html'))}\n`)
  return exitCode
}

export function usage(message: string): number {
  process.stderr.write(`everyhop: ${message}\n`)
  return 2
}
