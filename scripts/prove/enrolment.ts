import { ApiClient, accessOf } from '../../clusters/api-client.ts'
import type { Cluster } from '../../clusters/cluster.ts'
import { createCluster } from '../../clusters/create.ts'
import { deployApps, installMesh } from '../../clusters/install.ts'
import type { KubernetesObject } from '../../clusters/kubernetes.ts'
import { parseTopology, type Topology } from '../../clusters/topology.ts'
import { median, spread, spreadHead, table } from './figures.ts'
import { memoryOf } from './memory.ts'
import type { Context, Part } from './part.ts'

const label = 'istio.io/dataplane-mode'
const annotation = 'ambient.istio.io/redirection'
/** The hundredth enrolment may take this many times what the tenth takes. */
const mostGrowth = 1.2
const crowd = 50
const mesh = { mode: 'inpod', release: 'today' }

/**
 * What an enrolment costs as the node fills: pods that run already are labelled one by one, timed from the label to the agent's annotation; then ztunnel's
 * memory; then pods that are born enrolled, all at once.
 */
export const enrolment: Part = async (context) => {
  const count = context.times ?? 100
  if (count < 20) throw new Error(`--times ${count}: growth from the tenth enrolment to the last needs at least 20 pods`)
  await using cluster = await createCluster('lab', pods('row', count, {}), { signal: context.signal })
  await installMesh(cluster, mesh)
  await deployApps(cluster, pods('row', count, {}), mesh, { timeoutMs: 300_000 })
  const api = new ApiClient(accessOf(cluster.kubeconfig))
  try {
    const empty = await memoryOf(cluster, 'ztunnel/main')
    const seconds = await oneByOne(api, count, context)
    const full = await memoryOf(cluster, 'ztunnel/main')
    const together = await atOnce(cluster, context)
    const early = median(seconds.slice(5, 15))
    const late = median(seconds.slice(-10))
    const growth = late / early
    const failures =
      growth <= mostGrowth ? [] : [`the last enrolments take ${growth.toFixed(2)} times what the tenth takes, at most ${mostGrowth}`]
    const report = [
      table(
        ['', ...spreadHead],
        [
          ['one enrolment, label to annotation', ...spread(seconds)],
          ['the 6th to the 15th', ...spread(seconds.slice(5, 15))],
          [`the last ten of ${count}`, ...spread(seconds.slice(-10))],
        ],
      ),
      `Last ten against the tenth and its neighbours, medians: ${growth.toFixed(2)} times.`,
      `${crowd} pods born enrolled at once: all ready and enrolled in ${together.toFixed(1)} s.`,
      `ztunnel's memory (resident): ${mib(empty)} without a pod, ${mib(full)} with ${count}: ${(((full - empty) / count) * 1024).toFixed(0)} KiB a pod.`,
    ].join('\n\n')
    return { failures, report }
  } finally {
    api.close()
  }
}

async function oneByOne(api: ApiClient, count: number, { signal, say }: Context): Promise<number[]> {
  const seconds: number[] = []
  for (let i = 1; i <= count; i++) {
    signal.throwIfAborted()
    const name = nameOf('row', i)
    const collection = '/api/v1/namespaces/row/pods'
    const started = performance.now()
    const enrolled = api.until(collection, ([pod]) => pod?.metadata.annotations?.[annotation] === 'enabled' || undefined, {
      fieldSelector: `metadata.name=${name}`,
      signal,
    })
    await api.json('PATCH', `${collection}/${name}`, { metadata: { labels: { [label]: 'ambient' } } }, 'application/merge-patch+json')
    await enrolled
    seconds.push((performance.now() - started) / 1000)
    if (i % 10 === 0) say(`${i} of ${count} pods enrolled, the last ten in ${(median(seconds.slice(-10)) * 1000).toFixed(0)} ms each`)
  }
  return seconds
}

/** @returns seconds until all are ready and enrolled @throws InstallError if one is not */
async function atOnce(cluster: Cluster, { say }: Context): Promise<number> {
  const started = performance.now()
  await deployApps(cluster, pods('crowd', crowd, { [label]: 'ambient' }), mesh, { timeoutMs: 300_000 })
  const seconds = (performance.now() - started) / 1000
  say(`${crowd} pods born enrolled at once in ${seconds.toFixed(1)} s`)
  return seconds
}

/** A topology of one node and one namespace, full of clients. */
function pods(namespace: string, count: number, labels: KubernetesObject['metadata']['labels'] & {}): Topology {
  const pods = Array.from({ length: count }, (_, i) => ({ name: nameOf(namespace, i + 1), namespace, node: 'one', app: 'sleep' }))
  return parseTopology(JSON.stringify({ name: namespace, nodes: ['one'], namespaces: { [namespace]: { labels } }, pods }), namespace)
}

const nameOf = (namespace: string, i: number) => `${namespace}-${i}`
const mib = (value: number) => `${value.toFixed(0)} MiB`
