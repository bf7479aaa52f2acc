import { ApiClient, accessOf } from '../../../clusters/api-client.ts'
import type { ClusterHandle } from '../../../clusters/cluster.ts'
import { restartControlPlane, restartDaemonSet } from '../../../clusters/install.ts'
import type { Disruption } from '../cells.ts'
import type { LoadPod } from './load-run.ts'
import type { Timeline, TimelineLine } from './timeline.ts'

const label = 'istio.io/dataplane-mode'
/** For a pod that is up: rules, proxy, annotation. */
const enrolTimeout = 60_000

/** A part of the mesh that a disturbance replaces: on each node one, or one somewhere. */
interface Replaced {
  readonly name: string
  readonly everyNode: boolean
}

/** What each disturbance that replaces pods replaces. */
export const replacedBy: Readonly<Partial<Record<Disruption['disturbance'], Replaced>>> = {
  'ztunnel-rollout': { name: 'ztunnel', everyNode: true },
  'agent-restart': { name: 'istio-cni-node', everyNode: true },
  'discovery-restart': { name: 'istiod', everyNode: false },
}

/** Does to a cluster what disruptions are about; each action is over when the API shows it. */
export class Actions implements Disposable {
  readonly #cluster: ClusterHandle
  readonly #timeline: Timeline
  readonly #api: ApiClient

  constructor(cluster: ClusterHandle, timeline: Timeline) {
    this.#cluster = cluster
    this.#timeline = timeline
    this.#api = new ApiClient(accessOf(cluster.kubeconfig))
  }

  /** Takes a pod out of the mesh by its own label, and waits until it is not annotated any more. */
  leave(pod: LoadPod): Promise<void> {
    return this.#label(pod, 'none')
  }

  /** Takes that label away again, so that the namespace's holds, and waits for the annotation. */
  enrol(pod: LoadPod): Promise<void> {
    return this.#label(pod, null)
  }

  async #label(pod: LoadPod, value: 'none' | null): Promise<void> {
    const wanted = value === null
    const from = this.#timeline.position
    const [namespace, name] = split(pod.netns)
    const patch = { metadata: { labels: { [label]: value } } }
    await this.#api.json('PATCH', `/api/v1/namespaces/${namespace}/pods/${name}`, patch, 'application/merge-patch+json')
    if (this.#timeline.isEnrolled(pod.uid) === wanted) return
    const what = wanted ? 'enrolled' : 'left'
    await this.#timeline.until(`${pod.netns} has ${what}`, (l) => l.netns === pod.netns && l.what === what, from, enrolTimeout)
  }

  /** Replaces the pods of a part of the mesh as its own strategy says, and waits until the old ones are gone. */
  async replace({ name, everyNode }: Replaced): Promise<void> {
    const from = this.#timeline.position
    const gone = (what: string, test: (line: TimelineLine) => boolean) =>
      this.#timeline.until(what, (l) => l.what === 'gone' && test(l), from, 120_000)
    if (!everyNode) {
      await restartControlPlane(this.#cluster)
      return gone(`the old ${name} is gone`, (l) => l.detail?.startsWith(`${name}-`) === true)
    }
    await restartDaemonSet(this.#cluster, name)
    for (const node of this.#cluster.nodes)
      await gone(`the old ${name} on ${node.name} is gone`, (l) => l.node === node.name && l.detail === name)
  }

  [Symbol.dispose](): void {
    this.#api.close()
  }
}

/** Names of namespaces have no dots. */
function split(netns: string): [namespace: string, name: string] {
  const dot = netns.indexOf('.')
  return [netns.slice(0, dot), netns.slice(dot + 1)]
}
