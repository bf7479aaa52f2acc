import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Cluster, ClusterNode } from '../../clusters/cluster.ts'
import { createCluster } from '../../clusters/create.ts'
import { deployApps, installMesh } from '../../clusters/install.ts'
import { loadTopology } from '../../clusters/topology.ts'
import { planLoads } from '../../harness/disruption/bind.ts'
import { CollectorSession } from '../../harness/evidence/session.ts'
import type { TopologyRecord } from '../../harness/evidence/topology-record.ts'
import { resolveTopology } from '../../harness/run/resolve.ts'
import { httpPort } from '../../images/lib/app-protocol.ts'
import type { LoadCommand } from '../../images/lib/load-protocol.ts'
import { inPairs, median, type Part } from './part.ts'
import { processorSeconds, RunningLoad, type Seen } from './running-load.ts'

/** Of the request rate without evidence, what must be left with it. */
const goal = 0.95
const atOnce = 8

/** With evidence also the collectors' own processor time for each request, milliseconds. */
interface Watched extends Seen {
  readonly collectorMs: number
}

/**
 * What evidence costs a load: requests a second of the load client between two pods of the mesh, each on a connection of its own, as fast as eight at once can go, with collectors open in all namespaces of
 * both nodes (the load's own flows left out of their streams) and without any collector. One load goes on all the time; collectors come and go beside it, and what they need to start and stop is not
 * counted. All logs are there in both, because the kubelet writes them anyway. Needs root.
 */
export const evidence: Part = {
  about: `what collectors cost a load of ${atOnce} requests at once whose flows they leave out, against the same load without collectors`,
  async run({ rounds, seconds, say, signal }) {
    const topology = loadTopology('two-nodes')
    await using cluster = await createCluster('lab', topology, { signal })
    await installMesh(cluster, { mode: 'inpod', release: 'today' })
    await deployApps(cluster, topology, { mode: 'inpod', release: 'today' })
    const record = await resolveTopology(cluster.handle, topology)
    const plan = planLoads(record)
    if (typeof plan === 'string') throw new Error(plan)
    const { client, server } = plan.mesh
    const command: LoadCommand = {
      id: 'bench',
      load: { mark: 'benchbench', host: server.ip, port: httpPort, connections: 'new', everyMs: 0, atOnce, least: 0, timeoutMs: 5000 },
    }
    for (const node of cluster.nodes) {
      const uids = [client, server].filter((pod) => pod.node === node.name).map((pod) => pod.uid)
      const child = node.runProgram('scripts/bench/reuse-ports.ts', uids)
      const complaint = text(child.stderr!)
      const [code] = await once(child, 'exit')
      if (code !== 0) throw new Error(`ports of ${uids.join(', ')}: ${(await complaint).trim()}`)
    }
    await using load = new RunningLoad(cluster.nodes.find(({ name }) => name === client.node)!, client.uid, command)
    const measure = () => load.measure(seconds, signal)
    const told =
      <T extends Seen>(how: string, measured: () => Promise<T>) =>
      async () => {
        const seen = await measured()
        say(
          `${how} evidence ${seen.rate.toFixed(0)}/s, ${seen.machineMs.toFixed(3)} ms a request (${seen.requests}; load average ${loadavg()[0]!.toFixed(1)})`,
        )
        return seen
      }
    const withEvidence = told('with', () => watched(cluster, record, client.ip, measure))
    const without = told('without', measure)
    // What is compiled and opened once is paid before.
    await without()
    await withEvidence()
    const pairs = await inPairs(rounds, signal, withEvidence, without)
    await load.end()
    return result(pairs, seconds)
  },
}

function result(pairs: readonly (readonly [Watched, Seen])[], seconds: number): Awaited<ReturnType<Part['run']>> {
  const rates = compared(pairs, ({ rate }) => rate)
  const machine = compared(pairs, ({ machineMs }) => machineMs)
  const collectorMs = median(pairs.map(([{ collectorMs }]) => collectorMs))
  const spread = ({ ratio, lowest, highest }: Compared) =>
    `median ratio ${ratio.toFixed(3)} of ${pairs.length} pairs, ${lowest.toFixed(3)} to ${highest.toFixed(3)}`
  return {
    lines: [
      `requests a second with evidence ${rates.watched.toFixed(0)}, without ${rates.unwatched.toFixed(0)}, ${seconds} s each`,
      `evidence costs ${((1 - rates.ratio) * 100).toFixed(1)} % of the request rate: ${spread(rates)}`,
      `processor time of the whole machine with evidence ${machine.watched.toFixed(3)} ms a request, without ${machine.unwatched.toFixed(3)}: ${spread(machine)}`,
      `of it the collectors' own: ${collectorMs.toFixed(3)} ms a request`,
    ],
    figures: { seconds, pairs: pairs.map(([w, u]) => ({ watched: w, unwatched: u })), rates, machine, collectorMs },
    goals: [{ goal: `evidence costs at most ${((1 - goal) * 100).toFixed(0)} % of the request rate`, met: rates.ratio >= goal }],
  }
}

/** Medians of each side and of the ratios of the pairs. */
interface Compared {
  readonly watched: number
  readonly unwatched: number
  readonly ratio: number
  readonly lowest: number
  readonly highest: number
}

function compared(pairs: readonly (readonly [Seen, Seen])[], of: (seen: Seen) => number): Compared {
  const ratios = pairs.map(([w, u]) => of(w) / of(u))
  return {
    watched: median(pairs.map(([w]) => of(w))),
    unwatched: median(pairs.map(([, u]) => of(u))),
    ratio: median(ratios),
    lowest: Math.min(...ratios),
    highest: Math.max(...ratios),
  }
}

/** Measures with a collector on each node, as a run has them: snapshots first and last, and markers that prove the streams alive before the measurement and after it. */
async function watched(cluster: Cluster, record: TopologyRecord, client: string, measure: () => Promise<Seen>): Promise<Watched> {
  const bundle = mkdtempSync(join(tmpdir(), 'everyhop-bench-'))
  const pids: number[] = []
  const sessions = cluster.nodes.map((node) => {
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
    // First: the load is there already.
    await all((session) => session.spare([client]))
    await all((session) => session.watch(podsOn(record, session.node)))
    await all((session) => session.snapshot('before'))
    await all((session) => session.mark('bench-before'))
    const before = used()
    const seen = await measure()
    const spent = used() - before
    // Rejects when a stream does not show it.
    await all((session) => session.mark('bench--after'))
    await all((session) => session.snapshot('after'))
    for (const { name } of cluster.nodes) mustBeWhole(bundle, name)
    return { ...seen, collectorMs: (spent * 1000) / seen.requests }
  } finally {
    await all((session) => session[Symbol.asyncDispose]())
    rmSync(bundle, { recursive: true })
  }
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

function podsOn({ pods, proxies }: TopologyRecord, node: string): Parameters<CollectorSession['watch']>[0] {
  const on = (p: { node: string }) => p.node === node
  const named = ({ name, namespace, uid }: { name: string; namespace: string; uid: string }) => ({ name, namespace, uid })
  return [...pods.filter(on).map(named), ...proxies.filter(on).map((p) => ({ ...named(p), role: 'ztunnel' as const }))]
}
