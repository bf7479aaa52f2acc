import type { ApiClient } from '../api-client.ts'
import type { KubernetesObject } from '../kubernetes.ts'

const deployment = '/apis/apps/v1/namespaces/kube-system/deployments'
const controlPlaneLabel = 'node-role.kubernetes.io/control-plane'

/**
 * One CoreDNS, beside the control plane: a question leaves the topology's nodes, on whichever it was asked. To be said while no node is ready:
 * then those that kubeadm asked for have not started.
 */
export async function placeNameServer(api: ApiClient): Promise<void> {
  const spec = { replicas: 1, template: { spec: { nodeSelector: { 'kubernetes.io/os': 'linux', [controlPlaneLabel]: '' } } } }
  await api.json('PATCH', `${deployment}/coredns`, { spec }, 'application/merge-patch+json')
}

/** Returns when it answers. */
export async function nameServerReady(api: ApiClient, signal?: AbortSignal): Promise<void> {
  const wait = { fieldSelector: 'metadata.name=coredns', timeoutMs: 120_000, ...(signal ? { signal } : {}) }
  await api.until(deployment, (found) => found.some(isRolledOut) || undefined, wait)
}

function isRolledOut({ metadata, ...rest }: KubernetesObject): boolean {
  const status = (rest.status ?? {}) as Record<string, number | undefined>
  return (
    (status.observedGeneration ?? 0) >= Number(metadata.generation ?? 0) &&
    status.replicas === 1 &&
    status.updatedReplicas === 1 &&
    status.availableReplicas === 1
  )
}
