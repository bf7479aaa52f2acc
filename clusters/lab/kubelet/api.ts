import type { KubernetesObject } from '../../kubernetes.ts'
import type { Pod, PodStatus } from './pod.ts'

export interface ConfigMap {
  readonly data?: Readonly<Record<string, string>>
  readonly binaryData?: Readonly<Record<string, string>>
}

export interface Secret {
  /** Values are base64. */
  readonly data?: Readonly<Record<string, string>>
}

export interface TokenRequest {
  readonly namespace: string
  readonly serviceAccount: string
  /** None: the API server's own audience. */
  readonly audience?: string
  readonly expirationSeconds: number
  readonly pod: { readonly name: string; readonly uid: string }
}

/** What the kubelet asks of the API server. It runs in the API server's process, so reads do not wait. */
export interface KubeletApi {
  /** Certificate authority of the API server, PEM. */
  readonly caBundle: string
  /**
   * Follows the pods with `spec.nodeName` = `node`. Calls `set` for each that is there and whenever one changes, `gone` when one was removed.
   * @returns ends it
   */
  watchPods(node: string, set: (pod: Pod) => void, gone: (pod: Pod) => void): () => void
  /** Calls `changed` whenever a ConfigMap or Secret was made, changed or removed. @returns ends it */
  watchConfig(changed: (kind: 'ConfigMap' | 'Secret', namespace: string, name: string) => void): () => void
  configMap(namespace: string, name: string): ConfigMap | undefined
  secret(namespace: string, name: string): Secret | undefined
  /** Merges `status` into the pod's, if the pod still is the one with this uid. */
  patchPodStatus(pod: Pod, status: PodStatus): Promise<void>
  /** Removes the object at once (grace period 0), if it still is the one with this uid. */
  deletePod(pod: Pod): Promise<void>
  createEvent(event: KubernetesObject): Promise<void>
  /** Creates the node object, or brings it up to date. */
  applyNode(node: KubernetesObject): Promise<void>
  issueToken(request: TokenRequest): Promise<{ token: string; expirationSeconds: number }>
}
