import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { attachCluster } from '../../clusters/attach.ts'
import type { Cluster } from '../../clusters/cluster.ts'
import { createCluster, type Provider } from '../../clusters/create.ts'
import { meshImages } from '../../clusters/images.ts'
import { deployApps, installMesh, restartControlPlane, restartDaemonSetAtOnce } from '../../clusters/install.ts'
import { cniDaemonSet, istiodDeployment, ztunnelDaemonSet } from '../../clusters/manifests/names.ts'
import type { Topology } from '../../clusters/topology.ts'
import { untilAborted } from '../../clusters/until-aborted.ts'
import { asExpected, type FaultResult } from '../../reports/faults.ts'
import { type Disruption, disruptionsOf } from '../disruption/cells.ts'
import { DisruptionBatch } from '../disruption/run/batch.ts'
import { observations } from '../evidence/bundle.ts'
import type { TopologyRecord } from '../evidence/topology-record.ts'
import { judgeBundle } from '../judge/bundle.ts'
import type { CaseVerdict } from '../judge/verdict.ts'
import { casesOf, shortId } from '../matrix/cases.ts'
import { type Case, usesTunnel } from '../matrix/cell.ts'
import type { Fault, PatchSeed } from '../modes/fault.ts'
import { modeOf } from '../modes/index.ts'
import { Batch } from '../run/batch.ts'
import { environment } from '../run/environment.ts'
import { phasesOf } from '../run/phases.ts'
import { resolveTopology } from '../run/resolve.ts'
import { differences, type Ran, ranOf } from './equivalence.ts'
import { patchedCopy, runCommands } from './seed.ts'

export interface MutateOptions {
  readonly provider: Provider
  readonly mode: string
  readonly release: string
  readonly topology: Topology
  readonly faults: readonly Fault[]
  /** New and empty, an absolute path; gets one bundle a fault. */
  readonly out: string
}

type PatchFault = Fault & { readonly seed: PatchSeed }
const isPatch = (fault: Fault): fault is PatchFault => fault.seed.kind === 'patch'

/**
 * Seeds each fault into a running cluster, makes the requests that must catch it, and takes it away again. Begins with a clean round of all
 * those requests: a case that fails without a fault proves nothing.
 */
export async function mutate(
  o: MutateOptions,
  onFault: (result: FaultResult) => void,
  doing: (what: string) => void,
  signal: AbortSignal,
): Promise<FaultResult[]> {
  const { out } = o
  let copies = ''
  const prepare = (directory: string) => {
    copies = join(directory, 'patched')
    // Not every container runs as root: it must get to its program, by name.
    chmodSync(directory, 0o711)
    for (const fault of o.faults.filter(isPatch)) {
      mkdirSync(join(copies, fault.id), { recursive: true })
      patchedCopy(fault, join(copies, fault.id))
    }
  }
  doing('starting the cluster')
  await using cluster = await createCluster(o.provider, o.topology, { signal, prepare })
  doing('installing the mesh')
  await untilAborted(installMesh(cluster, { mode: o.mode, release: o.release }), signal)
  await untilAborted(deployApps(cluster, o.topology, o), signal)
  const round = new Round(cluster, o, out)

  doing('a clean round')
  const isWanted = (c: Case | Disruption) => o.faults.some((f) => f.cases.includes(shortId(c)))
  const wanted = casesOf(o.mode, o.release).filter(isWanted)
  const wantedDisruptions = disruptionsOf(o.mode, o.release).filter(isWanted)
  const clean = await round.run('clean', wanted)
  const undisturbed = wantedDisruptions.length > 0 ? await round.disrupt('clean-disruption', wantedDisruptions) : undefined
  const dirty = [...clean.verdicts, ...(undisturbed?.verdicts ?? [])].find((v) => v.verdict !== 'pass')
  if (dirty)
    throw new Error(
      `without any fault, ${dirty.id} is ${dirty.verdict}: ${dirty.reason}; nothing can be proven on this ground (see ${join(out, 'clean')})`,
    )
  if (clean.drift > 0) throw new Error(`without any fault, the state audit finds ${clean.drift} differences (see ${join(out, 'clean')})`)

  const results: FaultResult[] = []
  for (const fault of o.faults) {
    signal.throwIfAborted()
    doing(fault.id)
    const started = performance.now()
    const cases = wanted.filter((c) => fault.cases.includes(shortId(c)))
    const disruptions = wantedDisruptions.filter((c) => fault.cases.includes(shortId(c)))
    const { verdicts, drift, ran } = await round.withFault(fault, cases, copies, () =>
      disruptions.length > 0 ? round.disrupt(fault.id, disruptions) : round.run(fault.id, cases),
    )
    const told = resultOf(fault, verdicts, drift)
    // What a load did is compared with nothing: no two loads are alike.
    const found = told.traffic || !ran ? undefined : differences(await round.reference(fault, cases), ran)
    const result = { ...told, ...classified(told, found), durationMs: Math.round(performance.now() - started) }
    results.push(result)
    onFault(result)
  }
  return results
}

/** How many differences are kept: enough to see what is different. */
const KEPT = 20

/** @param found what tells the run from a clean one, when the traffic did not */
export function classified(
  told: Pick<FaultResult, 'traffic' | 'expected'>,
  found: readonly string[] | undefined,
): Pick<FaultResult, 'outcome' | 'differences'> {
  if (told.traffic) return { outcome: asExpected(told) ? 'caught' : 'caught elsewhere' }
  return found?.length === 0 ? { outcome: 'equivalent' } : { outcome: 'missed', differences: (found ?? []).slice(0, KEPT) }
}

function resultOf(fault: Fault, verdicts: readonly CaseVerdict[], drift: number): Omit<FaultResult, 'durationMs' | 'outcome'> {
  const failed = verdicts.filter((v) => v.verdict === 'fail' && v.brokenHop)
  const best = failed.find((v) => shortId(v) === fault.breaks.case) ?? failed[0]
  const why = verdicts.map((v) => `${shortId(v)}: ${v.verdict}${v.reason ? `: ${v.reason}` : ''}`).join('; ')
  return {
    fault: fault.id,
    title: fault.title,
    ...(best ? { traffic: { case: shortId(best), hop: best.brokenHop! } } : { why }),
    expected: fault.breaks,
    ...(fault.equivalent === undefined ? {} : { equivalent: fault.equivalent }),
    audit: drift > 0,
    cases: verdicts.map((v) => ({
      case: shortId(v),
      verdict: v.verdict,
      ...(v.brokenHop ? { hop: v.brokenHop } : {}),
      ...(v.reason ? { reason: v.reason } : {}),
    })),
  }
}

/** Rounds of requests on one cluster, each with a bundle of its own. */
class Round {
  readonly #cluster: Cluster
  readonly #o: MutateOptions
  readonly #out: string
  /** DaemonSets, or the control plane, whose pods may still run the code of an earlier fault. */
  readonly #patched = new Set<string>()

  constructor(cluster: Cluster, options: MutateOptions, out: string) {
    this.#cluster = cluster
    this.#o = options
    this.#out = out
  }

  async run(name: string, cases: readonly Case[]): Promise<{ verdicts: readonly CaseVerdict[]; drift: number; ran: Ran }> {
    const { mode, release } = this.#o
    const directory = join(this.#out, name)
    rmSync(directory, { recursive: true, force: true })
    const topology = await this.#topology()
    const cluster = attachCluster(this.#cluster.handle)
    const batch = new Batch({
      run: name,
      cluster,
      topology,
      mode,
      release,
      cases,
      directory,
      dumpsAfter: false,
      environment: await environment(this.#o.topology),
    })
    await batch.open()
    try {
      for (const phase of phasesOf(cases)) {
        await batch.enter(phase)
        for (const step of phase.steps) await batch.step(step)
        await batch.leave(phase)
      }
    } finally {
      await batch.close()
    }
    const { verdicts, bundle } = judgeBundle(directory)
    return { verdicts, drift: modeOf(mode).audit(observations(bundle), topology, 'before', release).length, ran: ranOf(bundle) }
  }

  /** Disturbs the mesh under load. What it leaves is no state to audit: pods came and went. */
  async disrupt(
    name: string,
    disruptions: readonly Disruption[],
  ): Promise<{ verdicts: readonly CaseVerdict[]; drift: number; ran: Ran | undefined }> {
    const { mode, release, topology } = this.#o
    const directory = join(this.#out, name)
    rmSync(directory, { recursive: true, force: true })
    const record = await this.#topology()
    const batch = new DisruptionBatch({
      run: name,
      cluster: this.#cluster.handle,
      topology: record,
      mode,
      release,
      disruptions,
      directory,
      environment: await environment(topology),
    })
    try {
      await batch.open()
      for (const disruption of disruptions) await batch.make(disruption)
    } finally {
      await batch.close()
    }
    return { verdicts: judgeBundle(directory).verdicts, drift: 0, ran: undefined }
  }

  /** Puts the fault in place, does the work, and takes the fault away again whatever happened. */
  async withFault<T>(fault: Fault, cases: readonly Case[], copies: string, work: () => Promise<T>): Promise<T> {
    if (isPatch(fault)) return this.#withPatch(fault, join(copies, fault.id), work)
    const { seed } = fault
    if (seed.kind !== 'commands') throw new Error(`fault ${fault.id}: unknown seed`)
    if (cases.some(usesTunnel) || this.#patched.size > 0) await this.#fresh()
    const topology = await this.#topology()
    await runCommands(this.#cluster, topology, seed, 'do')
    try {
      return await work()
    } finally {
      await runCommands(this.#cluster, topology, seed, 'undo')
    }
  }

  /** The same cases without the fault, from the same start: what a fault that no traffic caught is compared with. */
  async reference(fault: Fault, cases: readonly Case[]): Promise<Ran> {
    await this.#fresh()
    const { ran } = await this.run(`${fault.id}.clean`, cases)
    return ran
  }

  async #withPatch<T>(fault: PatchFault, copy: string, work: () => Promise<T>): Promise<T> {
    const original = meshImages.find((i) => i.source === `images/${fault.seed.image}`)
    if (!original) throw new Error(`fault ${fault.id}: there is no image ${fault.seed.image}`)
    await this.#cluster.loadImages([{ ...original, source: join(copy, original.source) }])
    const workload = { ztunnel: ztunnelDaemonSet, cni: cniDaemonSet, discovery: istiodDeployment }[fault.seed.image]
    try {
      await this.#fresh(workload)
      return await work()
    } finally {
      await this.#cluster.loadImages([original])
      this.#patched.add(workload)
    }
  }

  /**
   * The shipped code everywhere, and no tunnel of an earlier round: it would be reused, and its opening is in no evidence of this one.
   * What the next patch replaces anyway is not started anew before that.
   */
  async #fresh(which = ztunnelDaemonSet): Promise<void> {
    // What the control plane told is told anew by asking it: its clients come after it.
    if (this.#patched.add(which).delete(istiodDeployment)) {
      await restartControlPlane(this.#cluster)
      this.#patched.add(ztunnelDaemonSet)
    }
    for (const daemonSet of this.#patched) await restartDaemonSetAtOnce(this.#cluster, daemonSet)
    this.#patched.clear()
  }

  #topology(): Promise<TopologyRecord> {
    return resolveTopology(this.#cluster.handle, this.#o.topology)
  }
}
