import { availableParallelism } from 'node:os'
import type { LabNode } from '../node/node.ts'
import type { Owned } from '../node/owned.ts'
import type { KubeletApi } from './api.ts'
import { nodeObject } from './node-object.ts'
import type { Pod } from './pod.ts'
import { PodWorker } from './pod-worker.ts'
import type { ImageTable, KubeletContext } from './start-container.ts'
import { Turns } from './turns.ts'

/** Enough to keep all processors busy, few enough that each is done long before a plugin's time limit. */
const sandboxesAtOnce = 2 * availableParallelism()

export interface KubeletOptions {
  readonly node: LabNode
  readonly api: KubeletApi
  readonly registry: Owned
  /** What image names stand for; `setImages` replaces it. */
  readonly images: ImageTable
  /** The API server as pods reach it. @default 10.96.0.1:443 */
  readonly service?: { readonly host: string; readonly port: number }
}

export interface Kubelet {
  /** Containers that are started from now on are made from these images. */
  setImages(images: ImageTable): void
  /** Ends every pod's processes at once, without words to the API: before the node goes. Idempotent. */
  stop(): Promise<void>
}

/** Registers the node and runs the pods that are bound to it, until it is stopped. */
export async function startKubelet(options: KubeletOptions): Promise<Kubelet> {
  const { node, api, registry, service = { host: '10.96.0.1', port: 443 } } = options
  let { images } = options
  const context: KubeletContext = { node, api, owned: registry, service, images: () => images, sandboxTurns: new Turns(sandboxesAtOnce) }
  await api.applyNode(nodeObject(node))
  const workers = new Map<string, PodWorker>()
  let stopped: Promise<void> | undefined

  const set = (pod: Pod) => {
    const { uid } = pod.metadata
    const worker = workers.get(uid)
    if (worker) {
      worker.update(pod)
      return
    }
    // What has ended is not run again; and a pod that nobody runs has nothing to wait for.
    if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') {
      if (pod.metadata.deletionTimestamp !== undefined) api.deletePod(pod).catch(() => {})
      return
    }
    const fresh = new PodWorker(context, pod)
    workers.set(uid, fresh)
    void fresh.done.then(() => workers.delete(uid))
  }
  const endPods = api.watchPods(node.name, set, (pod) => workers.get(pod.metadata.uid)?.removed())
  const endConfig = api.watchConfig((_kind, namespace) => {
    for (const worker of workers.values()) {
      if (worker.namespace !== namespace) continue
      worker.refreshVolumes()
      worker.kick()
    }
  })

  const stop = async () => {
    endPods()
    endConfig()
    await Promise.all([...workers.values()].map((worker) => worker.abandon()))
  }
  return {
    setImages: (replacement) => {
      images = replacement
      for (const worker of workers.values()) worker.kick()
    },
    stop: () => {
      stopped ??= stop()
      return stopped
    },
  }
}
