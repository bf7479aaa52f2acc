import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Cluster } from '../../clusters/cluster.ts'
import { createCluster } from '../../clusters/create.ts'
import { deployApps, installMesh, removeApps, uninstallMesh } from '../../clusters/install.ts'
import type { Topology } from '../../clusters/topology.ts'
import { template } from '../../reports/html/template.ts'
import { exitCodeOf, type Results, type Stage } from '../../reports/results.ts'
import type { Disruption } from '../disruption/cells.ts'
import { EvidenceError } from '../evidence/bundle.ts'
import type { Judgement } from '../judge/bundle.ts'
import type { Case } from '../matrix/cell.ts'
import type { RunContext } from './context.ts'
import { environment } from './environment.ts'
import { judgeRun } from './judged.ts'
import { JudgeDesk } from './judging.ts'
import { RunReporter } from './reporter.ts'
import { writeIndexHtml, writeProblems, writeReports, writeUnfinished } from './reports.ts'
import { resolveTopology } from './resolve.ts'
import { resultsOf } from './results.ts'
import { Stages } from './stages.ts'
import { runSuite } from './suites.ts'

export interface RunOptions {
  readonly provider: 'lab'
  readonly topology: Topology
  /** It, as the command was given it, if it is not the default. */
  readonly topologyGiven?: string | undefined
  readonly cases: readonly Case[]
  /** Made after the cases of their mode and release: they leave other proxies and agents behind. */
  readonly disruptions: readonly Disruption[]
  /** The run's folder, new and empty: an absolute path. */
  readonly out: string
}

/** What a run tells while it goes on. */
export interface RunView {
  /** A stage is done. */
  stage(name: string, milliseconds: number): void
  /** What is being done now. */
  doing(text: string): void
  text(output: string): void
}

export interface RunOutcome {
  readonly results: Results | undefined
  /** What went wrong that is nobody's mesh: harness or environment. */
  readonly problems: readonly string[]
  readonly exitCode: number
}

/** A name for a run that sorts by time. */
export const newRunName = (now = new Date()): string =>
  `${now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')}-${randomBytes(2).toString('hex')}`

/**
 * The main job: a cluster with the mesh and the apps, the suites over it, verdicts from the bundles they leave, everything taken down again.
 * Whatever happens, what was collected stays in the run's folder and is judged as far as it goes.
 * @param signal ends the run early, in order
 */
export async function run(o: RunOptions, view: RunView, signal: AbortSignal): Promise<RunOutcome> {
  const name = newRunName()
  const directory = o.out
  const stages = new Stages((what, ms) => view.stage(what, ms))
  const stage = stages.end
  const problems: string[] = []
  let cluster: Cluster | undefined
  writeUnfinished(directory)
  using desk = new JudgeDesk(name)
  const app = template()
  // Told where it is needed; until then it is no crash.
  app.catch(() => {})
  const host = environment(o.topology)
  try {
    view.doing(`starting ${o.topology.nodes.length} nodes`)
    cluster = await createCluster(o.provider, o.topology, { onProgress: (line) => view.doing(line), signal })
    stage(`cluster of ${o.topology.nodes.length} nodes`)
    let before: Mesh | undefined
    for (const [, all] of Map.groupBy<string, Case | Disruption>([...o.cases, ...o.disruptions], (c) => `${c.mode}-${c.release}`)) {
      const { mode, release } = all[0]!
      const mesh = { mode, release }
      const mine = <T extends Mesh>(list: readonly T[]) => list.filter((c) => c.mode === mode && c.release === release)
      const [cases, disruptions] = [mine(o.cases), mine(o.disruptions)]
      const bundle = (kind: string) => join(directory, 'bundle', `${mode}-${release}${kind}`)
      signal.throwIfAborted()
      if (before) {
        view.doing(`removing the mesh (${inWordsOf(before)})`)
        await removeApps(cluster, o.topology)
        await uninstallMesh(cluster, before)
        stage(`mesh removed, ${inWordsOf(before)}`)
      }
      before = mesh
      view.doing(`installing the mesh (${inWordsOf(mesh)})`)
      await installMesh(cluster, mesh)
      stage(`mesh installed, ${inWordsOf(mesh)}`)
      await deployApps(cluster, o.topology)
      stage(`${o.topology.pods.length} pods ready`)
      const context: RunContext = {
        run: name,
        cluster: cluster.handle,
        topology: await resolveTopology(cluster.handle, o.topology),
        topologyGiven: o.topologyGiven,
        environment: await host,
        batches: [{ mode, release, cases, directory: bundle('') }],
        disruptions: [{ mode, release, cases: disruptions, directory: bundle('-disruption') }],
      }
      signal.throwIfAborted()
      const reporter = new RunReporter({
        step: (done, total, what) => view.doing(`${done} of ${total}: ${what}`),
        phase: (phase) => stages.part(phase.name, phase.milliseconds),
        text: (output) => view.text(output),
      })
      if (cases.length > 0) {
        problems.push(...(await runSuite('redirection', context, reporter, signal)))
        signal.throwIfAborted()
        stage('suites')
      }
      if (disruptions.length > 0) {
        problems.push(...(await runSuite('disruption', context, reporter, signal)))
        signal.throwIfAborted()
        stage('disruptions')
      }
    }
  } catch (error) {
    problems.push(signal.aborted ? 'the run was interrupted' : inWords(error))
  }
  if (cluster && problems.length > 0 && !signal.aborted) await lost(cluster, problems)
  const down = takenDown(cluster, problems)
  const results = await judged(directory, stages.done, desk.judgements, app, problems)
  stage('judged and written')
  await down
  stage('cluster taken down')
  if (problems.length > 0) writeProblems(results ?? noResults(name, o), problems, directory)
  const exitCode = problems.length > 0 || !results ? 3 : exitCodeOf(results)
  return { results, problems, exitCode }
}

type Mesh = { readonly mode: string; readonly release: string }

const inWordsOf = ({ mode, release }: Mesh) => `mode ${mode}, release ${release}`

async function judged(
  directory: string,
  stages: readonly Stage[],
  known: ReadonlyMap<string, Judgement>,
  app: Promise<string>,
  problems: string[],
): Promise<Results | undefined> {
  try {
    const { results, judgements } = judgeRun(directory, stages, known)
    writeReports(results, judgements, directory)
    try {
      writeIndexHtml(results, judgements, directory, await app)
    } catch (error) {
      // The verdicts stand without their picture.
      problems.push(`index.html could not be made: ${(error as Error).message}`)
    }
    return results
  } catch (error) {
    // Without a first problem this is one; after one there may be nothing to judge yet.
    if (problems.length === 0) problems.push(error instanceof EvidenceError ? error.message : ((error as Error).stack ?? String(error)))
    return undefined
  }
}

/** Of a run that left nothing to judge. */
const noResults = (name: string, o: RunOptions): Results =>
  resultsOf(
    {
      run: name,
      provider: o.provider,
      release: [...o.cases, ...o.disruptions][0]?.release ?? 'today',
      startedAt: new Date().toISOString(),
      notes: [],
    },
    [],
  )

/** For an error that tells its own story, its message; for a mistake in our code, where it is. */
function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const mistake = [TypeError, ReferenceError, RangeError, SyntaxError].some((kind) => error instanceof kind)
  return (mistake && error.stack) || error.message
}

/** A cluster that is gone is the one problem: the others only follow from it. */
async function lost(cluster: Cluster, problems: string[]): Promise<void> {
  try {
    await cluster.check()
  } catch (error) {
    problems.splice(0, problems.length, (error as Error).message)
  }
}

async function takenDown(cluster: Cluster | undefined, problems: string[]): Promise<void> {
  try {
    await cluster?.[Symbol.asyncDispose]()
  } catch (error) {
    problems.push(`teardown: ${(error as Error).message}`)
  }
}
