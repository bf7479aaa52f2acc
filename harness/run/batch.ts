import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '../../clusters/cluster.ts'
import { parseInterfaces } from '../evidence/parse/events.ts'
import type { PodReference } from '../evidence/protocol.ts'
import { CollectorSession } from '../evidence/session.ts'
import type { TopologyRecord } from '../evidence/topology-record.ts'
import type { Expectation } from '../judge/expectation.ts'
import { bindCases, type Participant } from '../matrix/bind.ts'
import type { Case } from '../matrix/cell.ts'
import { modeOf } from '../modes/index.ts'
import { BundleWriter, type Manifest } from './bundle-write.ts'
import { carriersOf } from './carriers.ts'
import type { NotRun } from './context.ts'
import { appPorts, decisiveOf } from './decisive.ts'
import { Driver } from './driver.ts'
import type { Environment } from './environment.ts'
import { participantsOf } from './participants.ts'
import type { Phase, Step } from './phases.ts'
import { Tail } from './tail.ts'

export interface BatchOptions {
  readonly run: string
  readonly cluster: Pick<Cluster, 'nodes' | 'apply' | 'delete' | 'provider' | 'kubeconfig'>
  readonly topology: TopologyRecord
  /** For the line that runs a case again: a topology that is not the default. */
  readonly topologyGiven?: string | undefined
  readonly mode: string
  readonly release: string
  readonly cases: readonly Case[]
  readonly environment: Environment
  /** @default none */
  readonly notRun?: readonly NotRun[]
  /** The bundle's directory, new. */
  readonly directory: string
  /** Whether state is dumped again at the end, for whoever reads the bundle: no verdict rests on that. @default true */
  readonly dumpsAfter?: boolean
  /** Cases in flight at once, at most; never two that share a pod. @default 1 */
  readonly concurrency?: number
  readonly onPhase?: (name: string, milliseconds: number) => void
}

/**
 * The cases of one mode on a cluster that stands. Leaves a bundle: expectations first, then traffic and evidence as they come;
 * when something throws, what had come by then is in the bundle all the same.
 */
export class Batch {
  readonly #o: BatchOptions
  readonly #writer: BundleWriter
  #manifest: Manifest
  readonly #sessions = new Map<string, CollectorSession>()
  readonly #phase: (name: string) => void
  #expectations: readonly Expectation[] = []
  #unsupported = new Map<string, string>()
  #driver: Driver | undefined

  constructor(options: BatchOptions) {
    this.#o = options
    this.#phase = stopwatch(options.onPhase)
    this.#writer = new BundleWriter(options.directory)
    this.#manifest = {
      schema: 1,
      run: options.run,
      provider: options.cluster.provider,
      mode: options.mode,
      release: options.release,
      ...(options.topologyGiven === undefined ? {} : { topology: options.topologyGiven }),
      startedAt: new Date().toISOString(),
      environment: options.environment,
      ...(options.notRun?.length ? { notRun: options.notRun } : {}),
    }
    this.#writer.manifest(this.#manifest)
    this.#writer.topology(options.topology)
  }

  /** Opens the evidence streams, takes the first snapshot, and writes down what every case must show. */
  async open(): Promise<void> {
    const { cluster, topology, directory } = this.#o
    const tail = new Tail()
    for (const node of cluster.nodes) this.#sessions.set(node.name, new CollectorSession(node, directory, tail.listener(node.name)))
    await this.#all((session, node) => session.watch(podsOn(topology, node)))
    await this.#all((session) => session.snapshot('before'))
    const participants = this.#expect()
    this.#driver = new Driver({
      cluster,
      sessions: this.#sessions,
      tail,
      writer: this.#writer,
      participants,
      nodes: topology.proxies.map((p) => p.node),
      concurrency: this.#o.concurrency ?? 1,
    })
    this.#phase('evidence streams opened')
  }

  #expect(): Participant[] {
    const { topology, directory, cases, mode } = this.#o
    const interfaces = new Map(
      [...this.#sessions.keys()].map((node) => {
        const file = join(directory, 'evidence', node, 'interfaces.jsonl')
        return [node, parseInterfaces(readFileSync(file), file, [])]
      }),
    )
    const participants = participantsOf(topology, interfaces)
    const tunnels = carriersOf(interfaces.values())
    if (tunnels !== undefined) {
      this.#manifest = { ...this.#manifest, environment: { ...this.#manifest.environment, tunnels } }
      this.#writer.manifest(this.#manifest)
    }
    const { limit } = modeOf(mode)
    const limited = cases.flatMap((c) => {
      const reason = limit(c)
      return reason === undefined ? [] : [{ case: c, reason }]
    })
    const possible = cases.filter((c) => limit(c) === undefined)
    const { bound, unbound } = bindCases(possible, participants, appPorts, topology.resolver ?? '')
    const index = (c: Case) => cases.indexOf(c)
    this.#expectations = bound.map((b) => ({ ...b, index: index(b.case), path: modeOf(mode).path(b), decisive: decisiveOf(b.case) }))
    for (const e of this.#expectations) this.#writer.expectation(e)
    for (const { case: c, reason } of [...limited, ...unbound]) {
      this.#unsupported.set(c.id, reason)
      this.#writer.expectation({ index: index(c), case: c, unsupported: reason })
    }
    return participants
  }

  /** Why a case cannot run on this topology; undefined: it can. */
  unsupported(c: Case): string | undefined {
    return this.#unsupported.get(c.id)
  }

  async enter(phase: Phase): Promise<void> {
    await this.#driver!.enter(phase, this.#expectations)
  }

  async leave(phase: Phase): Promise<void> {
    await this.#driver!.leave()
    this.#phase(phase.title)
  }

  /** Several that are asked for at once are made as `concurrency` says. @returns whether it was made: `signal` ends the wait for its turn */
  async step({ role, case: c }: Step, signal?: AbortSignal): Promise<boolean> {
    const expectation = this.#expectations.find((e) => e.case.id === c.id)
    if (!expectation) throw new Error(`case ${c.id} is not part of this batch`)
    return this.#driver!.step(role, expectation, signal)
  }

  /** Takes the last snapshot and closes the streams. The bundle is whole when this returns. */
  async close(): Promise<void> {
    try {
      if (this.#o.dumpsAfter ?? true) await this.#all((session) => session.snapshot('after'))
    } finally {
      await this.#all((session) => session[Symbol.asyncDispose]())
    }
    this.#writer.manifest({ ...this.#manifest, endedAt: new Date().toISOString() })
    this.#phase('evidence streams closed')
  }

  async #all(work: (session: CollectorSession, node: string) => Promise<unknown>): Promise<void> {
    await Promise.all([...this.#sessions].map(([node, session]) => work(session, node)))
  }
}

function podsOn(topology: TopologyRecord, node: string): PodReference[] {
  const on = (p: { node: string }) => p.node === node
  return [
    ...topology.pods.filter(on).map(({ name, namespace, uid }) => ({ name, namespace, uid })),
    ...topology.proxies.filter(on).map(({ name, namespace, uid }) => ({ name, namespace, uid, role: 'ztunnel' as const })),
  ]
}

/** Tells how long has passed since the phase before. */
export function stopwatch(onPhase: ((name: string, milliseconds: number) => void) | undefined): (name: string) => void {
  let last = performance.now()
  return (name) => {
    const now = performance.now()
    onPhase?.(name, now - last)
    last = now
  }
}
