import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Cluster, ClusterNode } from '../../clusters/cluster.ts'
import { createCluster } from '../../clusters/create.ts'
import { deployApps, installMesh } from '../../clusters/install.ts'
import { loadTopology } from '../../clusters/topology.ts'
import { type LoadPairs, pairsOf } from '../../harness/disruption/bind.ts'
import { CollectorSession } from '../../harness/evidence/session.ts'
import type { TopologyRecord } from '../../harness/evidence/topology-record.ts'
import { resolveTopology } from '../../harness/run/resolve.ts'
import { httpPort } from '../../images/lib/app-protocol.ts'
import type { LoadCommand, LoadEnd } from '../../images/lib/load-protocol.ts'

import { median, type Part } from './part.ts'

/**
 * What evidence costs a load: requests a second of the load client between two pods of the mesh, as fast as eight at once can go, with collectors open in all namespaces of both nodes
 * (the load's own flows left out of their streams) and without any collector, in pairs whose order alternates. Needs root.
 */
export const evidence: Part = async ({ rounds, seconds, say, signal }) => {
  const topology = loadTopology('two-nodes')
  await using cluster = await createCluster('lab', topology, { signal })
  await installMesh(cluster, { mode: 'inpod', release: 'today' })
  await deployApps(cluster, topology)
  const bench = new Bench(cluster, await resolveTopology(cluster.handle, topology), seconds)
  // What is compiled and opened once is paid before.
  await bench.rate()
  const pairs: { watched: number; unwatched: number }[] = []
  for (let round = 0; round < rounds; round++) {
    signal.throwIfAborted()
    const first = round % 2 === 0 ? await bench.watched() : await bench.rate()
    const second = round % 2 === 0 ? await bench.rate() : await bench.watched()
    const [watched, unwatched] = round % 2 === 0 ? [first, second] : [second, first]
    pairs.push({ watched, unwatched })
    say(`with evidence ${watched.toFixed(0)}/s, without ${unwatched.toFixed(0)}/s, ratio ${(watched / unwatched).toFixed(3)}`)
  }
  const ratios = pairs.map(({ watched, unwatched }) => watched / unwatched).toSorted((a, b) => a - b)
  const middle = median(ratios)
  const spread = `median ratio ${middle.toFixed(3)} of ${rounds} pairs, ${ratios[0]!.toFixed(3)} to ${ratios.at(-1)!.toFixed(3)}`
  return {
    lines: [`evidence costs ${((1 - middle) * 100).toFixed(1)} % of the load client's request rate (${spread})`],
    figures: { pairs, median: middle, lowest: ratios[0]!, highest: ratios.at(-1)! },
  }
}

class Bench {
  readonly #cluster: Cluster
  readonly #record: TopologyRecord
  readonly #seconds: number
  readonly #pairs: LoadPairs

  constructor(cluster: Cluster, record: TopologyRecord, seconds: number) {
    const pairs = pairsOf(record)
    if (typeof pairs === 'string') throw new Error(pairs)
    this.#cluster = cluster
    this.#record = record
    this.#seconds = seconds
    this.#pairs = pairs
  }

  /** Requests answered a second, with a collector on each node. */
  async watched(): Promise<number> {
    const bundle = mkdtempSync(join(tmpdir(), 'everyhop-bench-'))
    const sessions = this.#cluster.nodes.map((node) => new CollectorSession(node, bundle))
    try {
      await Promise.all(sessions.map((session) => session.watch(podsOn(this.#record, session.node))))
      await Promise.all(sessions.map((session) => session.spare([this.#pairs.meshClient.ip])))
      return await this.rate()
    } finally {
      await Promise.all(sessions.map((session) => session[Symbol.asyncDispose]()))
      rmSync(bundle, { recursive: true })
    }
  }

  /** Requests answered a second. */
  async rate(): Promise<number> {
    const { meshClient: client, meshServer: server } = this.#pairs
    const load: LoadCommand = {
      id: `bench-${performance.now()}`,
      load: { mark: 'benchbench', host: server.ip, port: httpPort, connections: 'new', everyMs: 0, atOnce: 8, least: 0, timeoutMs: 5000 },
    }
    const node = this.#cluster.nodes.find((n) => n.name === client.node)!
    const { answered, startedAt, endedAt } = await made(node, [client.uid, JSON.stringify(load), String(this.#seconds)])
    return (answered / (endedAt - startedAt)) * 1000
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

function podsOn({ pods, proxies }: TopologyRecord, node: string): Parameters<CollectorSession['watch']>[0] {
  const on = (p: { node: string }) => p.node === node
  const named = ({ name, namespace, uid }: { name: string; namespace: string; uid: string }) => ({ name, namespace, uid })
  return [...pods.filter(on).map(named), ...proxies.filter(on).map((p) => ({ ...named(p), role: 'ztunnel' as const }))]
}
