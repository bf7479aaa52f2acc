import type { TopologyRecord } from '../evidence/topology-record.ts'
import type { Disruption } from './cells.ts'
import type { LoadPod } from './run/load-run.ts'

/** Who loads go between: on two nodes where there are two, so that what is readable on its way is seen between nodes too. */
export interface LoadPairs {
  readonly meshClient: LoadPod
  readonly meshServer: LoadPod
  readonly plainClient: LoadPod
  readonly plainServer: LoadPod
}

/** @returns words for what the topology lacks, when it lacks something */
export function pairsOf(topology: TopologyRecord): LoadPairs | string {
  const pods = (app: 'sleep' | 'httpbin', enrolled: boolean) => topology.pods.filter((p) => p.app === app && p.enrolled === enrolled)
  const pair = (enrolled: boolean) => {
    const both = pods('sleep', enrolled).flatMap((client) => pods('httpbin', enrolled).map((server) => ({ client, server })))
    return both.find(({ client, server }) => client.node !== server.node) ?? both[0]
  }
  const [mesh, plain] = [pair(true), pair(false)]
  if (!mesh || !plain) return `the topology has no ${mesh ? 'unmeshed ' : 'enrolled '}sleep and httpbin`
  const place = (p: TopologyRecord['pods'][number]): LoadPod => ({ node: p.node, netns: `${p.namespace}.${p.name}`, ip: p.ip, uid: p.uid })
  return {
    meshClient: place(mesh.client),
    meshServer: place(mesh.server),
    plainClient: place(plain.client),
    plainServer: place(plain.server),
  }
}

/** Client and server of a disruption. Of established connections only one end is in the mesh: what happens to it must not be mended by the other. */
export function endsOf({ subject, connections }: Disruption, pairs: LoadPairs): { client: LoadPod; server: LoadPod } {
  if (connections === 'new') return { client: pairs.meshClient, server: pairs.meshServer }
  return subject === 'server'
    ? { client: pairs.plainClient, server: pairs.meshServer }
    : { client: pairs.meshClient, server: pairs.plainServer }
}
