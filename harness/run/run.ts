import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { attachCluster } from '../../clusters/attach.ts'
import type { Cluster, ClusterHandle } from '../../clusters/cluster.ts'
import { createCluster, type Provider } from '../../clusters/create.ts'
import { deployApps, installMesh, removeApps, restartDaemonSet, uninstallMesh } from '../../clusters/install.ts'
import type { MeshValues } from '../../clusters/manifests/values/read.ts'
import type { Standing } from '../../clusters/standing.ts'
import type { Topology } from '../../clusters/topology.ts'
import { untilAborted } from '../../clusters/until-aborted.ts'
import { template } from '../../reports/html/template.ts'
import { exitCodeOf, type Results } from '../../reports/results.ts'
import type { Disruption } from '../disruption/cells.ts'
import { type Case, usesTunnel } from '../matrix/cell.ts'
import type { NotRun, RunContext } from './context.ts'
import { costsOf } from './costs.ts'
import { inWords, judged, lost, noResults, takenDown } from './ending.ts'
import { environment } from './environment.ts'
import { JudgeDesk } from './judging.ts'
import { RunReporter } from './reporter.ts'
import { writeProblems, writeUnfinished } from './reports.ts'
import { resolveTopology } from './resolve.ts'
import { Stages } from './stages.ts'
import { runSuite } from './suites.ts'

export interface RunOptions {
  readonly provider: Provider
  readonly topology: Topology
  /** It, as the command was given it, if it is not the default. */
  readonly topologyGiven?: string | undefined
  /** What a values file says of the mesh. A cluster that is up has its own. @default nothing */
  readonly values?: MeshValues | undefined
  /** That file, as the command was given it. */
  readonly valuesGiven?: string | undefined
  readonly cases: readonly Case[]
  /** Made after the cases of their mode and release: they leave other proxies and agents behind. */
  readonly disruptions: readonly Disruption[]
  /** Cells that are not run, which the results tell of. @default none */
  readonly notRun?: readonly NotRun[]
  /** Cases in flight at once, at most. */
  readonly concurrency: number
  /** A cluster that is up, to run on instead of a new one; all cases are of its mode and release. `fresh`: nothing has used it yet. */
  readonly standing?: Standing | undefined
  readonly fresh?: boolean
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
  /** How long each case kept the run busy, milliseconds, by id. */
  readonly costs: ReadonlyMap<string, number>
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
  const host = environment(o.topology, o.valuesGiven)
  const chosen = [...o.cases, ...o.disruptions]
  // What the first bundle is left with when the run is killed before there are others: cells without a word would look as if nobody had asked for them.
  const notRun = (first: readonly (Case | Disruption)[]) =>
    first[0] === chosen[0]
      ? [
          ...(o.notRun ?? []),
          ...chosen.filter((c) => !first.includes(c)).map(({ id, mode, release }) => ({ id, mode, release, reason: notBegun })),
        ]
      : []
  const suites = async (handle: ClusterHandle, { mode, release }: Mesh, cases: readonly Case[], disruptions: readonly Disruption[]) => {
    const bundle = (kind: string) => join(directory, 'bundle', `${mode}-${release}${kind}`)
    const context: RunContext = {
      run: name,
      cluster: handle,
      topology: await resolveTopology(handle, o.topology, o.values),
      topologyGiven: o.topologyGiven,
      environment: await host,
      concurrency: o.concurrency,
      batches: [
        {
          mode,
          release,
          cases,
          notRun: notRun(cases),
          directory: bundle(''),
        },
      ],
      disruptions: [{ mode, release, cases: disruptions, notRun: notRun(disruptions), directory: bundle('-disruption') }],
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
  try {
    if (o.standing) {
      // A tunnel that a run before this one opened would be reused, and its opening is in no evidence of this one.
      if (!o.fresh && o.cases.some(usesTunnel)) await untilAborted(restartDaemonSet(attachCluster(o.standing.handle), 'ztunnel'), signal)
      stage(`cluster ${o.standing.name} is up`)
      await suites(o.standing.handle, o.standing, o.cases, o.disruptions)
    } else {
      view.doing(`starting ${o.topology.nodes.length} nodes`)
      cluster = await createCluster(o.provider, o.topology, {
        onProgress: (line) => view.doing(line),
        signal,
        label: `the run in ${directory}`,
        logDirectory: directory,
      })
      stage(`cluster of ${o.topology.nodes.length} nodes`)
      let before: Mesh | undefined
      for (const [, all] of Map.groupBy<string, Case | Disruption>([...o.cases, ...o.disruptions], (c) => `${c.mode}-${c.release}`)) {
        const { mode, release } = all[0]!
        const mesh = { mode, release }
        const mine = <T extends Mesh>(list: readonly T[]) => list.filter((c) => c.mode === mode && c.release === release)
        signal.throwIfAborted()
        if (before) {
          view.doing(`removing the mesh (${inWordsOf(before)})`)
          await untilAborted(removeApps(cluster, o.topology), signal)
          await untilAborted(uninstallMesh(cluster, { ...o.values, ...before }), signal)
          stage(`mesh removed, ${inWordsOf(before)}`)
        }
        before = mesh
        view.doing(`installing the mesh (${inWordsOf(mesh)})`)
        await untilAborted(installMesh(cluster, { ...o.values, ...mesh }), signal)
        stage(`mesh installed, ${inWordsOf(mesh)}`)
        await untilAborted(deployApps(cluster, o.topology, mesh), signal)
        stage(`${o.topology.pods.length} pods ready`)
        await suites(cluster.handle, mesh, mine(o.cases), mine(o.disruptions))
      }
    }
  } catch (error) {
    problems.push(signal.aborted ? 'the run was interrupted' : inWords(error))
  }
  if (cluster && problems.length > 0 && !signal.aborted) await lost(cluster, problems)
  const down = takenDown(cluster, problems)
  const found = await judged(directory, stages.done, desk.judgements, app, problems)
  stage(found ? 'judged and written' : 'nothing to judge')
  await down
  if (cluster) stage('cluster taken down')
  if (problems.length > 0) {
    writeProblems(found?.results ?? noResults(name, o.provider, chosen[0]?.release ?? 'today'), problems, directory)
  }
  const exitCode = problems.length > 0 || !found ? 3 : exitCodeOf(found.results)
  return { results: found?.results, problems, exitCode, costs: costsOf(found?.judgements ?? []) }
}

/** Why there is no verdict of a cell that nothing speaks against. */
const notBegun = 'it is in no bundle here: its turn did not come before the run ended, or its bundle is elsewhere'

type Mesh = { readonly mode: string; readonly release: string }

const inWordsOf = ({ mode, release }: Mesh) => `mode ${mode}, release ${release}`
