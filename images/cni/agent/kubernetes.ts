import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  AppsV1Api,
  CoreV1Api,
  KubeConfig,
  type KubernetesObject,
  ListWatch,
  PatchStrategy,
  setHeaderOptions,
  type V1Namespace,
  type V1Pod,
  Watch,
} from '@kubernetes/client-node'
import type { Log } from '../redirect/redirection.ts'
import { redirectionAnnotation } from '../shared/eligibility.ts'
import type { AgentConfig } from './config.ts'
import type { RedirectionState } from './enroller.ts'
import { type ApiPod, isAnnotated, type Pod, type PodStore, podFromApi } from './pods.ts'

/** The agent has five seconds to end. */
const uninstallQuestionMs = 3000

/** What the agent asks of the API server. */
export class ClusterApi {
  readonly #config: KubeConfig
  readonly #core: CoreV1Api
  readonly #apps: AppsV1Api
  readonly #log: Log
  readonly #watches: { stop(): Promise<void> }[] = []
  #stopped = false

  constructor(settings: Pick<AgentConfig, 'apiServer' | 'serviceAccountDir'>, log: Log) {
    this.#config = inCluster(settings)
    this.#core = this.#config.makeApiClient(CoreV1Api)
    this.#apps = this.#config.makeApiClient(AppsV1Api)
    this.#log = log
  }

  /** Fills the store with this node's pods and all namespaces, and keeps it up to date. Resolves when both lists are in. */
  async follow(store: PodStore, nodeName: string): Promise<void> {
    const fieldSelector = `spec.nodeName=${nodeName}`
    const here = (pod: V1Pod) => pod.spec?.nodeName === nodeName
    await Promise.all([
      this.#watch<V1Namespace>('/api/v1/namespaces', () => this.#core.listNamespace(), undefined, {
        put: (ns) => store.putNamespace(ns.metadata?.name ?? '', ns.metadata?.labels ?? {}),
        remove: (ns) => store.deleteNamespace(ns.metadata?.name ?? ''),
      }),
      this.#watch<V1Pod>('/api/v1/pods', () => this.#core.listPodForAllNamespaces({ fieldSelector }), fieldSelector, {
        put: (pod) => here(pod) && store.putPod(podFromApi(pod as ApiPod)),
        remove: (pod) => store.deletePod(podFromApi(pod as ApiPod)),
      }),
    ])
  }

  #watch<T extends KubernetesObject>(
    path: string,
    list: () => Promise<{ items: T[] }>,
    fieldSelector: string | undefined,
    on: { put(object: T): unknown; remove(object: T): unknown },
  ): Promise<void> {
    const synced = Promise.withResolvers<void>()
    const listed = async () => {
      const answer = await list()
      // The list's objects are handed out right after this function, in the same turn.
      setImmediate(synced.resolve)
      return answer
    }
    const watch = new ListWatch<T>(path, new Watch(this.#config), listed as never, false, undefined, fieldSelector)
    watch.on('add', on.put)
    watch.on('update', on.put)
    watch.on('delete', on.remove)
    watch.on('error', async (error) => {
      if (this.#stopped) return
      this.#log.warn(`watch of ${path} broke and is begun again: ${error?.message ?? error}`)
      await delay(1000)
      if (!this.#stopped) void watch.start()
    })
    this.#watches.push(watch)
    void watch.start()
    return synced.promise
  }

  /** Merge-patches the pod's status sub-resource, as upstream does; a pod that is gone is no error. What a user wrote there is not taken off. */
  async annotate(pod: Pod, state: RedirectionState): Promise<void> {
    if (state === null && pod.annotations[redirectionAnnotation] !== undefined && !isAnnotated(pod)) return
    const body = { metadata: { uid: pod.uid, annotations: { [redirectionAnnotation]: state } } }
    try {
      await this.#core.patchNamespacedPodStatus(
        { name: pod.name, namespace: pod.namespace, body },
        setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
      )
    } catch (error) {
      if (statusOf(error) === 404) return
      throw new Error(`annotating pod ${pod.namespace}/${pod.name} as ${state ?? 'not redirected'}: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }

  /** This node's pod network and address: `spec.podCIDR` and its InternalIP, each undefined when the Node object has none. */
  async nodeNetwork(name: string): Promise<{ readonly podCidr: string | undefined; readonly internalIp: string | undefined }> {
    const { spec, status } = await this.#core.readNode({ name })
    return { podCidr: spec?.podCIDR, internalIp: status?.addresses?.find((a) => a.type === 'InternalIP')?.address }
  }

  /** Is the agent being uninstalled: is its DaemonSet gone or going? An API server that does not answer says nothing: no. */
  async isUninstall(namespace: string, daemonSet: string): Promise<boolean> {
    try {
      const late = delay(uninstallQuestionMs, undefined, { ref: false }).then(() => {
        throw new Error(`no answer within ${uninstallQuestionMs} ms`)
      })
      const found = await Promise.race([this.#apps.readNamespacedDaemonSet({ namespace, name: daemonSet }), late])
      return found.metadata?.deletionTimestamp !== undefined
    } catch (error) {
      if (statusOf(error) === 404) return true
      this.#log.warn(
        `whether DaemonSet ${namespace}/${daemonSet} still exists is not known, nothing is removed: ${(error as Error).message}`,
      )
      return false
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#watches.map((w) => w.stop()))
  }
}

/** As loadFromCluster, with the service account's files where the settings say; the token is read again when it changes. */
function inCluster({ apiServer, serviceAccountDir }: Pick<AgentConfig, 'apiServer' | 'serviceAccountDir'>): KubeConfig {
  const config = new KubeConfig()
  const host = apiServer.host.includes(':') ? `[${apiServer.host}]` : apiServer.host
  config.loadFromClusterAndUser(
    { name: 'local', server: `https://${host}:${apiServer.port}`, caFile: join(serviceAccountDir, 'ca.crt'), skipTLSVerify: false },
    { name: 'agent', authProvider: { name: 'tokenFile', config: { tokenFile: join(serviceAccountDir, 'token') } } },
  )
  return config
}

function statusOf(error: unknown): number | undefined {
  return (error as { code?: number }).code
}
