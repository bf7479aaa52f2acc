import type { TopologyRecord } from '../evidence/topology-record.ts'
import type { Disruption } from './cells.ts'
import type { LoadPod } from './run/load-run.ts'

/** Who a load goes between. */
export interface LoadEnds {
  readonly client: LoadPod
  readonly server: LoadPod
}

/** Who the loads of a run go between: on two nodes where there are two, so that what is readable on its way is seen between nodes too, and no pod in two loads where there are enough. */
export interface LoadPlan {
  readonly mesh: LoadEnds
  readonly plain: LoadEnds
  readonly of: (disruption: Disruption) => LoadEnds
  /** Each pod once. */
  readonly pods: readonly LoadPod[]
}

type Subject = Disruption['subject']

/** @returns words for what the topology lacks, when it lacks something */
export function planLoads(topology: TopologyRecord): LoadPlan | string {
  const lacks = [true, false].find(
    (enrolled) => !(['sleep', 'httpbin'] as const).every((app) => podsOf(topology, app, enrolled).length > 0),
  )
  if (lacks !== undefined) return `the topology has no ${lacks ? 'enrolled ' : 'unmeshed '}sleep and httpbin`
  const taken = new Set<string>()
  const take = (clientIn: boolean, serverIn: boolean): LoadEnds => {
    const all = podsOf(topology, 'sleep', clientIn).flatMap((client) =>
      podsOf(topology, 'httpbin', serverIn).map((server) => ({ client, server })),
    )
    const cost = ({ client, server }: LoadEnds) =>
      2 * Number(taken.has(client.uid)) + 2 * Number(taken.has(server.uid)) + Number(client.node === server.node)
    const [best] = all.toSorted((a, b) => cost(a) - cost(b))
    for (const { uid } of [best!.client, best!.server]) taken.add(uid)
    return best!
  }
  const mesh = take(true, true)
  const onNew: Record<Subject, LoadEnds> = { mesh, server: mesh, client: take(true, true) }
  // Only one end is in the mesh: what happens to it must not be mended by the other.
  const onEstablished: Record<Exclude<Subject, 'mesh'>, LoadEnds> = { server: take(false, true), client: take(true, false) }
  const plain = take(false, false)
  const every = [mesh, onNew.client, onEstablished.server, onEstablished.client, plain].flatMap((p) => [p.client, p.server])
  return {
    mesh,
    plain,
    of: ({ subject, connections }) => (connections === 'new' || subject === 'mesh' ? onNew[subject] : onEstablished[subject]),
    pods: [...new Map(every.map((p) => [p.uid, p])).values()],
  }
}

function podsOf(topology: TopologyRecord, app: 'sleep' | 'httpbin', enrolled: boolean): LoadPod[] {
  return topology.pods
    .filter((p) => p.app === app && p.enrolled === enrolled)
    .map((p) => ({ node: p.node, netns: `${p.namespace}.${p.name}`, ip: p.ip, uid: p.uid }))
}

/** Whether two disruptions cannot go side by side: one of them changes the whole mesh, or they share a pod. */
export function inEachOthersWay(plan: LoadPlan, a: Disruption, b: Disruption): boolean {
  if (a.subject === 'mesh' || b.subject === 'mesh') return true
  const mine = plan.of(a)
  return [plan.of(b).client, plan.of(b).server].some(({ uid }) => uid === mine.client.uid || uid === mine.server.uid)
}
