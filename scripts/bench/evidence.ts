import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Cluster, ClusterNode } from '../../clusters/cluster.ts'
import { createCluster } from '../../clusters/create.ts'
import { deployApps, installMesh } from '../../clusters/install.ts'
import { loadTopology } from '../../clusters/topology.ts'
import { type LoadEnds, planLoads } from '../../harness/disruption/bind.ts'
import { CollectorSession } from '../../harness/evidence/session.ts'
import type { TopologyRecord } from '../../harness/evidence/topology-record.ts'
import { resolveTopology } from '../../harness/run/resolve.ts'
import { httpPort } from '../../images/lib/app-protocol.ts'
import type { LoadCommand, LoadEnd } from '../../images/lib/load-protocol.ts'
import { inPairs, median, type Part } from './part.ts'

/** Of the request rate without evidence, what must be left with it. */
const goal = 0.95
const atOnce = 8
/** USER_HZ, in which /proc tells processor time: 100 on every architecture. */
const ticksPerSecond = 100

/** One measurement: requests answered a second; with evidence also the collectors' own processor time for each request, milliseconds. */
interface Measured {
  readonly rate: number
  readonly requests: number
  readonly collectorMs?: number
}

/**
 * What evidence costs a load: requests a second of the load client between two pods of the mesh, as fast as eight at once can go, with collectors open in all namespaces of both nodes
 * (the load's own flows left out of their streams) and without any collector. The load, its command and the reader of its lines are the same in both; so are all logs, which the kubelet writes
 * anyway. Needs root.
 */
export const evidence: Part = {
  about: `what collectors cost a load of ${atOnce} requests at once whose flows they leave out, against the same load without collectors`,
  async run({ rounds, seconds, say, signal }) {
    const topology = loadTopology('two-nodes')
    await using cluster = await createCluster('lab', topology, { signal })
    await installMesh(cluster, { mode: 'inpod', release: 'today' })
    await deployApps(cluster, topology)
    const bench = new Bench(cluster, await resolveTopology(cluster.handle, topology), seconds)
    // What is compiled and opened once is paid before.
    await bench.unwatched()
    await bench.watched()
    const told = (how: string, measure: () => Promise<Measured>) => async () => {
      const measured = await measure()
      say(`${how} evidence ${measured.rate.toFixed(0)}/s (${measured.requests} requests; load average ${loadavg()[0]!.toFixed(1)})`)
      return measured
    }
    const pairs = await inPairs(
      rounds,
      signal,
      told('with', () => bench.watched()),
      told('without', () => bench.unwatched()),
    )
    const ratios = pairs.map(([watched, unwatched]) => watched.rate / unwatched.rate)
    const [middle, lowest, highest] = [median(ratios), Math.min(...ratios), Math.max(...ratios)]
    const collectorMs = median(pairs.map(([watched]) => watched.collectorMs!))
    return {
      lines: [
        `requests a second with evidence ${median(pairs.map(([w]) => w.rate)).toFixed(0)}, without ${median(pairs.map(([, u]) => u.rate)).toFixed(0)}, ${seconds} s each`,
        `evidence costs ${((1 - middle) * 100).toFixed(1)} % of the request rate: median ratio ${middle.toFixed(3)} of ${rounds} pairs, ${lowest.toFixed(3)} to ${highest.toFixed(3)}`,
        `the collectors' own processor time: ${collectorMs.toFixed(3)} ms a request`,
      ],
      figures: {
        seconds,
        pairs: pairs.map(([watched, unwatched]) => ({ watched, unwatched, ratio: watched.rate / unwatched.rate })),
        median: middle,
        lowest,
        highest,
        collectorMs,
      },
      goals: [{ goal: `evidence costs at most ${((1 - goal) * 100).toFixed(0)} % of the request rate`, met: middle >= goal }],
    }
  },
}

class Bench {
  readonly #cluster: Cluster
  readonly #record: TopologyRecord
  readonly #seconds: number
  readonly #ends: LoadEnds

  constructor(cluster: Cluster, record: TopologyRecord, seconds: number) {
    const plan = planLoads(record)
    if (typeof plan === 'string') throw new Error(plan)
    this.#cluster = cluster
    this.#record = record
    this.#seconds = seconds
    this.#ends = plan.mesh
  }

  /** With a collector on each node, as a run has them: snapshots first and last, and markers that prove the streams alive before the load and after it. */
  async watched(): Promise<Measured> {
    const bundle = mkdtempSync(join(tmpdir(), 'everyhop-bench-'))
    const pids: number[] = []
    const sessions = this.#cluster.nodes.map((node) => {
      const runProgram: ClusterNode['runProgram'] = (program, args) => {
        const child = node.runProgram(program, args)
        pids.push(child.pid!)
        return child
      }
      return new CollectorSession({ name: node.name, runProgram }, bundle)
    })
    const all = (work: (session: CollectorSession) => Promise<unknown>) => Promise.all(sessions.map(work))
    const used = () => pids.reduce((sum, pid) => sum + processorSeconds(pid), 0)
    try {
      await all((session) => session.watch(podsOn(this.#record, session.node)))
      await all((session) => session.snapshot('before'))
      await all((session) => session.spare([this.#ends.client.ip]))
      await all((session) => session.mark('bench-before'))
      const before = used()
      const measured = await this.unwatched()
      const spent = used() - before
      // Rejects when a stream does not show it.
      await all((session) => session.mark('bench--after'))
      await all((session) => session.snapshot('after'))
      for (const { name } of this.#cluster.nodes) mustBeWhole(bundle, name)
      return { ...measured, collectorMs: (spent * 1000) / measured.requests }
    } finally {
      await all((session) => session[Symbol.asyncDispose]())
      rmSync(bundle, { recursive: true })
    }
  }

  async unwatched(): Promise<Measured> {
    const { client, server } = this.#ends
    const load: LoadCommand = {
      id: `bench-${performance.now()}`,
      load: { mark: 'benchbench', host: server.ip, port: httpPort, connections: 'new', everyMs: 0, atOnce, least: 0, timeoutMs: 5000 },
    }
    const node = this.#cluster.nodes.find((n) => n.name === client.node)!
    const { answered, sent, startedAt, endedAt } = await made(node, [client.uid, JSON.stringify(load), String(this.#seconds)])
    if (answered !== sent) throw new Error(`of ${sent} requests ${sent - answered} were not answered: no rate to compare`)
    return { rate: (answered / (endedAt - startedAt)) * 1000, requests: answered }
  }
}

async function made(node: ClusterNode, args: readonly string[]): Promise<LoadEnd & { answered: number }> {
  const child = node.runProgram('scripts/bench/make-load.ts', args)
  const closed = once(child, 'close')
  const [out, complaint] = await Promise.all([text(child.stdout!), text(child.stderr!)])
  const [code] = (await closed) as [number | null]
  if (code !== 0) throw new Error(`the load ended with ${code}: ${complaint.trim()}`)
  return JSON.parse(out) as LoadEnd & { answered: number }
}

/** A collector that lost evidence did less than it has to. */
function mustBeWhole(bundle: string, node: string): void {
  for (const line of readFileSync(join(bundle, 'evidence', node, 'stats.jsonl'), 'utf8')
    .trim()
    .split('\n')) {
    const { netns, stream, lost } = JSON.parse(line) as { netns: string; stream: string; lost: number }
    if (lost > 0) throw new Error(`the collector on node ${node} lost ${lost} of ${stream} in ${netns}: no measurement`)
  }
}

/** What a process and those that it started have used so far, in user and kernel mode: fields 14 and 15 of proc(5)'s stat, counted behind the name in brackets. */
function processorSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond + children.reduce((sum, child) => sum + processorSeconds(child), 0)
}

function podsOn({ pods, proxies }: TopologyRecord, node: string): Parameters<CollectorSession['watch']>[0] {
  const on = (p: { node: string }) => p.node === node
  const named = ({ name, namespace, uid }: { name: string; namespace: string; uid: string }) => ({ name, namespace, uid })
  return [...pods.filter(on).map(named), ...proxies.filter(on).map((p) => ({ ...named(p), role: 'ztunnel' as const }))]
}
