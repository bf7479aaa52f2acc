import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '../../clusters/cluster.ts'
import { parseInterfaces } from '../evidence/parse/events.ts'
import type { PodReference } from '../evidence/protocol.ts'
import { CollectorSession } from '../evidence/session.ts'
import type { TopologyRecord } from '../evidence/topology-record.ts'
import type { Expectation } from '../judge/expectation.ts'
import { bindCases } from '../matrix/bind.ts'
import type { Case } from '../matrix/cases.ts'
import { modeOf } from '../modes/index.ts'
import { BundleWriter, type Manifest } from './bundle-write.ts'
import { appPorts, decisiveOf } from './decisive.ts'
import { Driver } from './driver.ts'
import { environment } from './environment.ts'
import { participantsOf } from './participants.ts'
import { Tail } from './tail.ts'

export interface BatchOptions {
  readonly run: string
  readonly cluster: Pick<Cluster, 'nodes' | 'apply' | 'delete' | 'provider'>
  readonly topology: TopologyRecord
  readonly mode: string
  readonly release: string
  readonly cases: readonly Case[]
  /** The bundle's directory, new. */
  readonly directory: string
  readonly onCase?: (id: string) => void
  readonly onPhase?: (name: string, milliseconds: number) => void
}

/**
 * Runs the cases of one mode on a cluster that stands, and leaves a bundle: expectations first, then traffic and evidence as they come.
 * When it throws, what had come by then is in the bundle all the same.
 */
export async function runBatch(o: BatchOptions): Promise<void> {
  const phase = stopwatch(o.onPhase)
  const writer = new BundleWriter(o.directory)
  const manifest: Manifest = {
    schema: 1,
    run: o.run,
    provider: o.cluster.provider,
    mode: o.mode,
    release: o.release,
    startedAt: new Date().toISOString(),
    environment: environment(),
  }
  writer.manifest(manifest)
  writer.topology(o.topology)
  const tail = new Tail()
  const sessions = new Map(o.cluster.nodes.map((node) => [node.name, new CollectorSession(node, o.directory, tail.listener(node.name))]))
  try {
    await Promise.all([...sessions].map(([node, session]) => session.watch(podsOn(o.topology, node))))
    await all(sessions, (s) => s.snapshot('before'))
    phase('evidence streams open')
    const interfaces = new Map(
      [...sessions.keys()].map((node) => {
        const file = join(o.directory, 'evidence', node, 'interfaces.jsonl')
        return [node, parseInterfaces(readFileSync(file), file, [])]
      }),
    )
    const participants = participantsOf(o.topology, interfaces)
    const { bound, unbound } = bindCases(o.cases, participants, appPorts)
    const index = (c: Case) => o.cases.indexOf(c)
    const expectations = bound.map(
      (b): Expectation => ({ ...b, index: index(b.case), path: modeOf(o.mode).path(b), decisive: decisiveOf(b.case) }),
    )
    for (const e of expectations) writer.expectation(e)
    for (const u of unbound) writer.expectation({ index: index(u.case), case: { id: u.case.id, mode: u.case.mode }, unsupported: u.reason })
    const driver = new Driver({
      cluster: o.cluster,
      sessions,
      tail,
      writer,
      participants,
      nodes: o.topology.proxies.map((p) => p.node),
      ...(o.onCase ? { onCase: o.onCase } : {}),
    })
    await driver.drive(expectations)
    phase('traffic')
    await all(sessions, (s) => s.snapshot('after'))
    phase('last snapshot')
  } finally {
    await Promise.all([...sessions.values()].map((s) => s[Symbol.asyncDispose]()))
    phase('evidence streams closed')
  }
  writer.manifest({ ...manifest, endedAt: new Date().toISOString() })
}

const all = (sessions: ReadonlyMap<string, CollectorSession>, work: (s: CollectorSession) => Promise<void>) =>
  Promise.all([...sessions.values()].map(work))

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
