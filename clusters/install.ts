import { ApiClient, accessOf } from './api-client.ts'
import type { Cluster } from './cluster.ts'
import { appImages, meshImages } from './images.ts'
import type { KubernetesObject, Pod } from './kubernetes.ts'
import { appManifests } from './manifests/apps.ts'
import { imageNames } from './manifests/configured.ts'
import { type MeshOptions, meshManifests } from './manifests/mesh.ts'
import { takesIn } from './manifests/modes.ts'
import { istiodDeployment, meshNamespace, rootConfigMap } from './manifests/names.ts'
import { fatalReason, podTrouble, workloadTrouble } from './pod-trouble.ts'
import type { Topology } from './topology.ts'

/** What it takes to ask a cluster's API, also from another process than the one that started it. */
type Reached = Pick<Cluster, 'kubeconfig'> & { readonly nodes: readonly unknown[] }

export interface WaitOptions {
  /** What can never come up is given up at once; this is for what is only slow. @default 3 minutes */
  readonly timeoutMs?: number
}

/** The mesh or an app did not come up: which pods, why, their last log lines, and the fix. */
export class InstallError extends Error {
  override name = 'InstallError'
}

/** What the agent writes at a pod that it redirects. */
const redirectionAnnotation = 'ambient.istio.io/redirection'

/** Installs the mesh and waits until its control plane is there and each of its DaemonSets is rolled out. @throws InstallError, ApplyError */
export async function installMesh(cluster: Cluster, options: MeshOptions & WaitOptions): Promise<void> {
  const objects = meshManifests(options)
  const names = imageNames(options)
  await cluster.loadImages(meshImages.map((i) => ({ ...i, name: names[i.name] ?? i.name })))
  await cluster.apply(objects)
  const named = (kind: string) => objects.filter((o) => o.kind === kind).map((o) => o.metadata.name)
  const [sets, deployments, kinds] = [named('DaemonSet'), named('Deployment'), named('CustomResourceDefinition')]
  await withApi(cluster, async (api) => {
    const all = (names: string[], isDone: (object: KubernetesObject) => boolean) => (found: KubernetesObject[]) =>
      names.every((name) => found.some((object) => object.metadata.name === name && isDone(object))) || undefined
    const apps = `/apis/apps/v1/namespaces/${meshNamespace}`
    const over = new AbortController()
    try {
      await Promise.race([
        Promise.all([
          api.until(
            `${apps}/daemonsets`,
            all(sets, (set) => isRolledOut(set, cluster.nodes.length)),
            { ...options, signal: over.signal },
          ),
          api.until('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', all(kinds, isEstablished), {
            ...options,
            signal: over.signal,
          }),
          api.until(`${apps}/deployments`, all(deployments, isAvailable), { ...options, signal: over.signal }),
        ]),
        // Ends only by an error: a pod that no waiting mends.
        api.until<true>(`/api/v1/namespaces/${meshNamespace}/pods`, refuseFatal, { timeoutMs: 2 ** 31 - 1, signal: over.signal }),
      ])
    } catch (error) {
      throw await explained(
        api,
        `the mesh (${[...deployments, ...sets].join(', ')})`,
        meshNamespace,
        (pod) => !isReady(pod),
        error as Error,
      )
    } finally {
      over.abort()
    }
  })
}

/**
 * Starts the topology's pods and waits until all are ready, and enrolled in the mesh if there is one that takes them in.
 * @param mesh the one that is installed; undefined: none is
 * @throws InstallError, ApplyError
 */
export async function deployApps(
  cluster: Cluster,
  topology: Topology,
  mesh: Pick<MeshOptions, 'mode' | 'release'> | undefined,
  options: WaitOptions = {},
): Promise<void> {
  await cluster.loadImages(appImages)
  await cluster.apply(appManifests(topology))
  await withApi(cluster, async (api) => {
    const isIn = (pod: Pod) => mesh !== undefined && takesIn(mesh, pod, topology.namespaces[pod.metadata.namespace ?? '']?.labels ?? {})
    const unfinished = (pod: Pod) => !isReady(pod) || (isIn(pod) && !isEnrolled(pod))
    const waitIn = async (namespace: string) => {
      const names = new Set(topology.pods.filter((p) => p.namespace === namespace).map((p) => p.name))
      const mine = (pod: KubernetesObject) => names.has(pod.metadata.name)
      const allDone = (objects: KubernetesObject[]) => {
        const pods = objects.filter(mine) as Pod[]
        refuseFatal(pods)
        return (pods.length === names.size && !pods.some(unfinished)) || undefined
      }
      try {
        await api.until(`/api/v1/namespaces/${namespace}/pods`, allDone, options)
      } catch (error) {
        throw await explained(api, `the pods of namespace ${namespace}`, namespace, (pod) => mine(pod) && unfinished(pod), error as Error)
      }
    }
    await Promise.all([...new Set(topology.pods.map((p) => p.namespace))].map(waitIn))
  })
}

/** Removes the topology's namespaces with all that is in them, and waits until they are gone. */
export async function removeApps(cluster: Cluster, topology: Topology): Promise<void> {
  const namespaces = appManifests(topology).filter((o) => o.kind === 'Namespace')
  await Promise.all(namespaces.map((o) => cluster.delete([o])))
}

/** Replaces the pods of one of the mesh's DaemonSets, as `kubectl rollout restart` does, and waits until the new ones are all there. @throws InstallError */
export async function restartDaemonSet(cluster: Reached, name: string, options: WaitOptions = {}): Promise<void> {
  await restart(cluster, { kind: 'DaemonSet', name }, options)
}

/** The same on all nodes at once, for when no traffic goes on meanwhile. @throws InstallError */
export async function restartDaemonSetAtOnce(cluster: Reached, name: string, options: WaitOptions = {}): Promise<void> {
  const path = `/apis/apps/v1/namespaces/${meshNamespace}/daemonsets/${name}`
  const paced = async (updateStrategy: unknown) =>
    withApi(cluster, (api) => api.json<KubernetesObject>('PATCH', path, { spec: { updateStrategy } }, 'application/merge-patch+json'))
  const { spec } = await withApi(cluster, (api) => api.json<KubernetesObject>('GET', path))
  const { updateStrategy } = spec as { updateStrategy: { rollingUpdate: Record<string, unknown> } }
  const usual = updateStrategy.rollingUpdate
  await paced({ rollingUpdate: usual.maxSurge ? { maxSurge: '100%' } : { maxUnavailable: '100%' } })
  try {
    await restartDaemonSet(cluster, name, options)
  } finally {
    await paced({ rollingUpdate: usual })
  }
}

/** The same for the control plane. @throws InstallError */
export async function restartControlPlane(cluster: Reached, options: WaitOptions = {}): Promise<void> {
  await restart(cluster, { kind: 'Deployment', name: istiodDeployment }, options)
}

async function restart(
  cluster: Reached,
  { kind, name }: { kind: 'DaemonSet' | 'Deployment'; name: string },
  options: WaitOptions,
): Promise<void> {
  const restartedAt = new Date().toISOString()
  const annotation = 'kubectl.kubernetes.io/restartedAt'
  // Between a Deployment and its pods is a ReplicaSet, named after it.
  const isOf = (pod: KubernetesObject) => (kind === 'DaemonSet' ? ownerOf(pod) === name : ownerOf(pod)?.startsWith(`${name}-`))
  await withApi(cluster, async (api) => {
    const patch = { spec: { template: { metadata: { annotations: { [annotation]: restartedAt } } } } }
    const path = `/apis/apps/v1/namespaces/${meshNamespace}/${kind.toLowerCase()}s/${name}`
    const { spec, status } = await api.json<KubernetesObject>('PATCH', path, patch, 'application/merge-patch+json')
    // A cluster may have nodes that are not of the topology, such as its control plane.
    const { desiredNumberScheduled } = (status ?? {}) as { desiredNumberScheduled?: number }
    const pods = desiredNumberScheduled ?? (spec as { replicas?: number }).replicas ?? 1
    // By the pods, not by the set's status: with a surge that counts old pods as available while new ones still come.
    const replaced = (found: KubernetesObject[]) => {
      const mine = found.filter(isOf) as Pod[]
      refuseFatal(mine)
      return (mine.length === pods && mine.every((p) => p.metadata.annotations?.[annotation] === restartedAt && isReady(p))) || undefined
    }
    try {
      await api.until(`/api/v1/namespaces/${meshNamespace}/pods`, replaced, options)
    } catch (error) {
      throw await explained(api, `${kind} ${name}`, meshNamespace, (pod) => !isReady(pod), error as Error)
    }
  })
}

/** The controller that a pod is of. */
function ownerOf({ metadata }: KubernetesObject): string | undefined {
  return ((metadata.ownerReferences ?? []) as { name: string; controller?: boolean }[]).find((o) => o.controller)?.name
}

/** Removes the mesh: the DaemonSets first, while control plane and service accounts still stand, so that the agents clean up after themselves. */
export async function uninstallMesh(cluster: Cluster, options: MeshOptions): Promise<void> {
  const objects = meshManifests(options)
  const sets = objects.filter((o) => o.kind === 'DaemonSet')
  await cluster.delete(sets)
  await withApi(cluster, async (api) => {
    // A DaemonSet's pods end after it; they are what cleans up.
    const isOfSet = (pod: KubernetesObject) =>
      (pod.metadata.ownerReferences as { kind: string }[] | undefined)?.some((o) => o.kind === 'DaemonSet')
    await api.until(`/api/v1/namespaces/${meshNamespace}/pods`, (pods) => !pods.some(isOfSet) || undefined)
    await cluster.delete(objects.filter((o) => o.kind === 'Deployment'))
    // While it stands, the control plane would publish its root again.
    await api.until(`/api/v1/namespaces/${meshNamespace}/pods`, (pods) => pods.length === 0 || undefined)
    const { items } = await api.list(`/api/v1/configmaps?fieldSelector=metadata.name%3D${rootConfigMap}`)
    await cluster.delete(items.map((o) => ({ ...o, apiVersion: 'v1', kind: 'ConfigMap' })))
  })
  // Users' policies hang on the definitions of their kinds.
  const stays = ['DaemonSet', 'Deployment', 'CustomResourceDefinition']
  await cluster.delete(objects.filter((o) => !stays.includes(o.kind)).reverse())
}

function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false
}

function isEnrolled(pod: Pod): boolean {
  return pod.metadata.annotations?.[redirectionAnnotation] === 'enabled'
}

/** What `kubectl rollout status` asks for; and that there is a pod on each node, of which the cluster may have more than the topology. */
function isRolledOut(set: KubernetesObject, nodes: number): boolean {
  const status = (set.status ?? {}) as Record<string, number | undefined>
  const desired = status.desiredNumberScheduled ?? 0
  return (
    (status.observedGeneration ?? 0) >= Number(set.metadata.generation ?? 0) &&
    desired >= nodes &&
    status.updatedNumberScheduled === desired &&
    status.numberAvailable === desired &&
    status.currentNumberScheduled === desired
  )
}

/** A kind of configuration that is served. */
function isEstablished({ status }: KubernetesObject): boolean {
  const { conditions = [] } = (status ?? {}) as { conditions?: { type: string; status: string }[] }
  return conditions.some((c) => c.type === 'Established' && c.status === 'True')
}

function isAvailable(deployment: KubernetesObject): boolean {
  const status = (deployment.status ?? {}) as Record<string, number | undefined>
  const { replicas = 1 } = (deployment.spec ?? {}) as { replicas?: number }
  return (
    (status.observedGeneration ?? 0) >= Number(deployment.metadata.generation ?? 0) &&
    status.updatedReplicas === replicas &&
    status.availableReplicas === replicas &&
    status.replicas === replicas
  )
}

async function withApi<T>(cluster: Pick<Cluster, 'kubeconfig'>, work: (api: ApiClient) => Promise<T>): Promise<T> {
  const api = new ApiClient(accessOf(cluster.kubeconfig))
  try {
    return await work(api)
  } finally {
    api.close()
  }
}

function refuseFatal(pods: KubernetesObject[]): undefined {
  for (const pod of pods as Pod[]) {
    // One that goes is of an install before this one.
    if (pod.metadata.deletionTimestamp) continue
    const reason = fatalReason(pod)
    if (reason) throw new Error(reason)
  }
}

async function explained(
  api: ApiClient,
  what: string,
  namespace: string,
  which: (pod: Pod) => boolean,
  error: Error,
): Promise<InstallError> {
  const { items } = await api.list(`/api/v1/namespaces/${namespace}/pods`)
  const troubles = await Promise.all((items as Pod[]).filter(which).map((pod) => podTrouble(api, pod)))
  const refused = await workloadTrouble(api, namespace)
  return new InstallError([`${what} did not come up: ${error.message}`, ...troubles, ...refused].join('\n'), { cause: error })
}
