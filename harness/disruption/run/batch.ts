import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { attachCluster } from '../../../clusters/attach.ts'
import type { ClusterHandle } from '../../../clusters/cluster.ts'
import { meshNamespace } from '../../../clusters/manifests/names.ts'
import { httpPort } from '../../../images/lib/app-protocol.ts'
import { CollectorSession } from '../../evidence/session.ts'
import type { TopologyRecord } from '../../evidence/topology-record.ts'
import { BundleWriter } from '../../run/bundle-write.ts'
import type { NotRun } from '../../run/context.ts'
import type { Environment } from '../../run/environment.ts'
import { inEachOthersWay, type LoadEnds, type LoadPlan, planLoads } from '../bind.ts'
import { disruptionsFolder } from '../bundle.ts'
import type { Disruption } from '../cells.ts'
import type { DisruptionPlace, DisruptionRecord } from '../expectation.ts'
import { mayBeLost, outcomeOf } from '../outcomes.ts'
import { Actions, replacedBy } from './actions.ts'
import { around, type LoadPod, type LoadShape, makeLoad } from './load-run.ts'
import { Progress } from './progress.ts'
import { Timeline } from './timeline.ts'

export interface DisruptionBatchOptions {
  readonly run: string
  readonly cluster: ClusterHandle
  readonly topology: TopologyRecord
  readonly topologyGiven?: string | undefined
  readonly mode: string
  readonly release: string
  readonly environment: Environment
  readonly disruptions: readonly Disruption[]
  /** @default none */
  readonly notRun?: readonly NotRun[]
  /** The bundle's directory, new. */
  readonly directory: string
}

/**
 * A hundred requests a second (upstream's own test of a restart makes 25), until at least 500 are made. No more than ten under way: on a machine that is too busy for the pace it is that slow,
 * instead of making requests that time out for want of a processor. Who gets no answer that long gets none.
 */
const newConnections: LoadShape = { connections: 'new', everyMs: 10, atOnce: 10, least: 500, timeoutMs: 10_000 }
/**
 * Each is used, stands idle while the mesh is disturbed, and is used again: what it meets then is what the facts tell. One in use is cut between a request and its answer, and who speaks first after that
 * decides what becomes of it. No answer: long enough that it is no accident.
 */
const establishedConnections: LoadShape = { connections: 3, everyMs: 20, atOnce: 3, restAfter: around, least: 2 * around, timeoutMs: 4000 }
const control: LoadShape = { ...newConnections, least: 100 }
const controls = { quiet: 'control/quiet', closed: 'control/closed', plain: 'control/plain' } as const
/** How long a label stays off once its pod has been let go, in requests. */
const labelOff = 50
/** A pod that leaves is let go some seconds after it has said so. */
const releaseTimeout = 60_000
/** How long the closed server of the negative control stays so, in requests that have failed. */
const failures = 5

/** The disruptions of one mode and release on a cluster that stands, with a bundle of their own: expectations first, then evidence as it comes. */
export class DisruptionBatch {
  readonly #o: DisruptionBatchOptions
  readonly #writer: BundleWriter
  readonly #manifest: Parameters<BundleWriter['manifest']>[0]
  readonly #sessions = new Map<string, CollectorSession>()
  readonly #progress = new Progress()
  readonly #timeline: Timeline
  readonly #actions: Actions
  readonly #plan: LoadPlan | string
  /** What the tokens of this batch begin with. */
  readonly #mark = `load${randomBytes(6).toString('hex')}`
  readonly #made = new Map<string, Promise<void>>()
  #closing = false
  /** Pods of the mesh that were taken out of it. */
  readonly #outside = new Map<string, LoadPod>()

  constructor(options: DisruptionBatchOptions) {
    const { directory, cluster, topology } = options
    this.#o = options
    this.#writer = new BundleWriter(directory)
    this.#manifest = {
      schema: 1,
      run: options.run,
      provider: cluster.provider,
      mode: options.mode,
      release: options.release,
      ...(options.topologyGiven === undefined ? {} : { topology: options.topologyGiven }),
      startedAt: new Date().toISOString(),
      environment: options.environment,
      ...(options.notRun?.length ? { notRun: options.notRun } : {}),
    }
    this.#writer.manifest(this.#manifest)
    this.#writer.topology(topology)
    this.#timeline = new Timeline(directory, cluster.kubeconfig)
    this.#actions = new Actions(cluster, this.#timeline)
    this.#plan = planLoads(topology)
    this.#expect()
  }

  #expect(): void {
    mkdirSync(join(this.#o.directory, disruptionsFolder), { recursive: true })
    for (const [index, c] of this.#o.disruptions.entries()) {
      const record = typeof this.#plan === 'string' ? { index, case: c, unsupported: this.#plan } : this.#expectation(index, c, this.#plan)
      const file = join(this.#o.directory, disruptionsFolder, `${c.id.replaceAll('/', '.')}.json`)
      writeFileSync(file, `${JSON.stringify(record, null, 1)}\n`)
    }
  }

  #expectation(index: number, c: Disruption, plan: LoadPlan): DisruptionRecord {
    const { client, server } = plan.of(c)
    const outcome = outcomeOf(c)
    const replaced = replacedBy[c.disturbance]
    return {
      index,
      case: { ...c },
      client: placeOf(client),
      server: placeOf(server),
      load: c.id,
      controls,
      least: outcome ? 1 : newConnections.least,
      ...(outcome ? { outcome } : { mayBeLost: mayBeLost(c) }),
      facts: outcome ? 'inpod-mode 1.7' : 'inpod-mode 2.6',
      ...(replaced
        ? { replaced: { name: replaced.name, nodes: replaced.everyNode ? this.#o.topology.proxies.map((p) => p.node) : [] } }
        : {}),
    }
  }

  /** Opens the evidence streams and makes the loads that tell whether the others can be believed. */
  async open(): Promise<void> {
    const { cluster, topology, directory } = this.#o
    const plan = this.#plan
    if (typeof plan === 'string') return
    for (const node of attachCluster(cluster).nodes)
      this.#sessions.set(node.name, new CollectorSession(node, directory, this.#progress.listener))
    const uids = new Set(plan.pods.map((p) => p.uid))
    const pods = topology.pods.filter((p) => uids.has(p.uid))
    await this.#all((session, node) =>
      session.watch(pods.filter((p) => p.node === node).map(({ name, namespace, uid }) => ({ name, namespace, uid }))),
    )
    const clients = [...new Set(this.#o.disruptions.map((c) => plan.of(c).client.ip)), plan.mesh.client.ip, plan.plain.client.ip]
    await Promise.all([
      this.#all((session) => session.spare([...new Set(clients)], this.#mark)),
      this.#timeline.start([...new Set([meshNamespace, ...pods.map((p) => p.namespace)])]),
    ])
    await Promise.all([
      this.#load(controls.quiet, plan.mesh, control, async () => {}),
      this.#load(controls.plain, plan.plain, control, async () => {}),
    ])
    await this.#load(controls.closed, plan.mesh, control, () => this.#closed(plan.mesh.server))
  }

  /** The negative control: the server's port closed until some requests have failed. */
  #closed(server: LoadPod): Promise<void> {
    return this.#noted(controls.closed, async () => {
      const tell = (action: 'close' | 'open') =>
        this.#sessions.get(server.node)!.server({ id: `${action} ${server.uid}`, action, port: httpPort }, { uid: server.uid })
      const failed = () => this.#progress.answers(controls.closed).filter((a) => !a.ok).length
      const before = failed()
      await tell('close')
      try {
        await this.#progress.until(() => failed() >= before + failures, newConnections.timeoutMs)
      } finally {
        await tell('open')
      }
    })
  }

  /** Makes the load of a disruption, and disturbs the mesh while it runs. All begin with the first that is asked for, each as soon as those before it are over that are in its way. */
  async make(c: Disruption): Promise<void> {
    const plan = this.#plan
    if (typeof plan === 'string') return
    for (const [index, next] of this.#o.disruptions.entries()) {
      if (this.#made.has(next.id)) continue
      const before = this.#o.disruptions.slice(0, index).filter((other) => inEachOthersWay(plan, other, next))
      const made = Promise.allSettled(before.map((other) => this.#made.get(other.id))).then(() => this.#make(next, plan.of(next)))
      // Told to who asks for it.
      made.catch(() => {})
      this.#made.set(next.id, made)
    }
    await this.#made.get(c.id)
  }

  async #make(c: Disruption, ends: LoadEnds): Promise<void> {
    if (this.#closing) throw new Error(`${c.id} was not begun before the run ended`)
    const subject = c.subject === 'client' ? ends.client : ends.server
    // A cell leaves pods as they are: the next may begin with just that.
    if (c.disturbance === 'enrolment') await this.#out(subject)
    else await this.#allIn(c.subject === 'mesh' ? undefined : ends)
    const shape = c.connections === 'established' ? establishedConnections : newConnections
    await this.#load(c.id, ends, shape, () => this.#noted(c.id, () => this.#disturb(c, subject)))
  }

  async #in(pod: LoadPod): Promise<void> {
    await this.#actions.enrol(pod)
    this.#outside.delete(pod.uid)
  }

  /** @param of only these two */
  async #allIn(of?: LoadEnds): Promise<void> {
    const pods = [...this.#outside.values()].filter(({ uid }) => !of || uid === of.client.uid || uid === of.server.uid)
    await Promise.all(pods.map((pod) => this.#in(pod)))
  }

  /** Takes a pod out of the mesh, and waits until its proxy has let it go: connections that are made before then are captured. */
  async #out(pod: LoadPod): Promise<void> {
    if (this.#outside.has(pod.uid)) return
    const before = this.#progress.released(pod.uid)
    this.#outside.set(pod.uid, pod)
    await this.#actions.leave(pod)
    if (!(await this.#progress.until(() => this.#progress.released(pod.uid) > before, releaseTimeout)))
      throw new Error(`${pod.netns} has left the mesh, but its ztunnel was not told within ${releaseTimeout / 1000} s`)
  }

  #load(name: string, ends: LoadEnds, shape: LoadShape, during: () => Promise<void>): Promise<void> {
    const parts = { sessions: this.#sessions, progress: this.#progress, timeline: this.#timeline, mark: this.#mark }
    return makeLoad(parts, name, ends.client, ends.server, httpPort, shape, during)
  }

  async #noted(load: string, work: () => Promise<void>): Promise<void> {
    this.#timeline.note('asked', load)
    await work()
    this.#timeline.note('done', load)
  }

  async #disturb(c: Disruption, subject: LoadPod): Promise<void> {
    const replaced = replacedBy[c.disturbance]
    if (replaced) return this.#actions.replace(replaced)
    if (c.disturbance !== 'enrolment') await this.#out(subject)
    if (c.disturbance === 'leaving') return
    if (c.disturbance === 'label-off-and-on') {
      const off = this.#progress.answers(c.id).length + labelOff
      await this.#progress.until(() => this.#progress.answers(c.id).length >= off, 60_000)
    }
    await this.#in(subject)
  }

  /** Brings back who is out, and closes the streams. The bundle is whole when this returns. */
  async close(): Promise<void> {
    this.#closing = true
    try {
      await this.#allIn()
    } finally {
      await this.#all((session) => session[Symbol.asyncDispose]())
      this.#timeline[Symbol.dispose]()
      this.#actions[Symbol.dispose]()
      this.#writer.manifest({ ...this.#manifest, endedAt: new Date().toISOString() })
    }
  }

  async #all(work: (session: CollectorSession, node: string) => Promise<unknown>): Promise<void> {
    await Promise.all([...this.#sessions].map(([node, session]) => work(session, node)))
  }
}

const placeOf = ({ node, netns, ip }: LoadPod): DisruptionPlace => ({ node, netns, ip })
