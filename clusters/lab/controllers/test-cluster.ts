import { setImmediate as turn } from 'node:timers/promises'
import type { Gvr } from '../apiserver/resources.ts'
import { resources, Store } from '../apiserver/store.ts'
import type { KubeObject, Pod } from '../apiserver/types.ts'
import { startControllers } from './controllers.ts'

/** A store with controllers, nodes `node1`…, the namespace `n`, and kubelets that only write statuses. For tests. */
export class TestCluster {
  readonly store = new Store()
  readonly errors: Error[] = []
  /** Pods that it says yes to become ready. */
  becomesReady: (pod: Pod) => boolean = () => true
  /** Pods that are to end stay until this is set. */
  lingering = false
  readonly #stops: (() => void)[] = []
  #address = 0

  constructor(nodes = 2) {
    this.#stops.push(startControllers(this.store, { caPem: 'CA', onError: (error) => this.errors.push(error) }))
    for (let i = 1; i <= nodes; i++) this.addNode(`node${i}`)
    this.store.create(resources.namespaces, { metadata: { name: 'n' } })
    this.#stops.push(this.store.watch(resources.pods, {}, ({ type, object }) => type !== 'DELETED' && this.kubelet(object)))
  }

  addNode(name: string, labels: Record<string, string> = {}): void {
    this.store.create(resources.nodes, { metadata: { name, labels }, status: { conditions: [{ type: 'Ready', status: 'True' }] } })
  }

  /** What a kubelet does once about a pod. */
  kubelet(pod: Pod): void {
    if (!pod.spec.nodeName) return
    if (pod.metadata.deletionTimestamp) {
      if (!this.lingering) this.store.delete(resources.pods, pod.metadata, { gracePeriodSeconds: 0 })
    } else if (pod.status?.phase === 'Pending') {
      const podIP = pod.spec.hostNetwork ? '172.30.0.11' : `10.244.1.${++this.#address}`
      this.setStatus(pod, { phase: 'Running', podIP, conditions: [ready(this.becomesReady(pod))] })
    }
  }

  setReady(pod: Pod, is: boolean): void {
    this.setStatus(pod, { conditions: [ready(is)] })
  }

  setStatus(pod: Pod, status: object): void {
    this.store.patch(resources.pods, pod.metadata, { status }, { type: 'strategic', subresource: 'status' })
  }

  pods(labelSelector = ''): Pod[] {
    return this.store.list(resources.pods, { namespace: 'n', labelSelector })
  }

  get<T extends KubeObject>(gvr: Gvr<T>, name: string): T {
    return this.store.get(gvr, { name, namespace: 'n' })
  }

  /** Waits until the controllers have nothing left to do: two turns of the event loop without a write. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 2; ) {
      const before = this.store.resourceVersion
      await turn()
      quiet = this.store.resourceVersion === before ? quiet + 1 : 0
    }
  }

  [Symbol.dispose](): void {
    for (const stop of this.#stops) stop()
  }
}

const ready = (is: boolean) => ({ type: 'Ready', status: is ? 'True' : 'False', lastTransitionTime: new Date().toISOString() })

/** A pod template with the label app=`app`. */
export const template = (app: string, image = 'i:1', spec: object = {}) => ({
  metadata: { labels: { app } },
  spec: { containers: [{ name: 'c', image, ports: [{ name: 'web', containerPort: 8080 }] }], ...spec },
})
