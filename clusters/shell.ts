import { ApiClient, accessOf } from './api-client.ts'
import type { ClusterHandle } from './cluster.ts'
import { containersOf } from './kind/configuration.ts'
import { enterKindNode, enterKindPod } from './kind/enter.ts'
import type { Pod } from './kubernetes.ts'
import { enterNode, enterPod } from './lab/enter.ts'

/** A place in a cluster that a shell can stand in. */
export interface ShellPlace {
  /** Short, for the prompt. */
  readonly name: string
  /** In words. */
  readonly what: string
  /** What stands before the command that is to run there. */
  readonly enter: readonly string[]
}

/** A place that is not there, or not told exactly: what was asked, and what there is. */
export class PlaceError extends Error {
  override name = 'PlaceError'
}

/**
 * Finds a node by its name, or a pod by `NAME`, `NAMESPACE/NAME` or the beginning of either that only one has.
 * @throws PlaceError that lists what there is
 */
export async function findPlace(handle: ClusterHandle, where: string): Promise<ShellPlace> {
  const nodes = waysInto(handle)
  const node = nodes.find((n) => n.name === where)
  if (node) return { name: node.name, what: `node ${node.name}${node.address && ` (${node.address})`}`, enter: node.enter }
  const pods = await podsOf(handle)
  const names = (p: Pod) => [p.metadata.name, `${p.metadata.namespace}/${p.metadata.name}`]
  const exact = pods.filter((p) => names(p).includes(where))
  const found = exact.length > 0 ? exact : pods.filter((p) => names(p).some((name) => name.startsWith(where)))
  const list = (some: readonly Pod[]) =>
    some.map((p) => `\n  ${p.metadata.namespace}/${p.metadata.name} on node ${p.spec.nodeName}`).join('')
  if (found.length > 1) throw new PlaceError(`several pods are called ${where}; name one:${list(found)}`)
  const [pod] = found
  if (!pod)
    throw new PlaceError(`there is no node or pod ${where}; there are nodes ${nodes.map((n) => n.name).join(', ')} and pods:${list(pods)}`)
  const on = nodes.find((n) => n.name === pod.spec.nodeName)
  const enter = on && pod.metadata.uid && (await on.enterPod(pod.metadata.uid))
  if (!enter) throw new PlaceError(`pod ${where} has no process to join; fix: wait until it runs`)
  const { name, namespace } = pod.metadata
  return { name, what: `pod ${namespace}/${name} (${pod.status?.podIP ?? 'no address'}) on node ${on.name}`, enter }
}

/** Its nodes, and how to get into them and their pods: what stands before a command's own words. */
function waysInto(handle: ClusterHandle) {
  if (handle.provider === 'lab')
    return handle.nodes.map((node) => ({ ...node, enter: enterNode(node), enterPod: async (uid: string) => enterPod(uid, node) }))
  const { docker } = handle
  // The mesh is on the control plane's node too.
  const own = { ...containersOf(handle.id, [])[0]!, address: '' }
  return [own, ...handle.nodes].map((node) => ({
    ...node,
    enter: enterKindNode(node, docker),
    enterPod: (uid: string) => enterKindPod(uid, node, docker),
  }))
}

async function podsOf({ kubeconfig }: ClusterHandle): Promise<Pod[]> {
  const api = new ApiClient(accessOf(kubeconfig))
  try {
    return (await api.list('/api/v1/pods')).items as Pod[]
  } finally {
    api.close()
  }
}
