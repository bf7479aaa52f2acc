import type { KubernetesObject } from '../../kubernetes.ts'
import { resources } from '../apiserver/resources.ts'
import type { Store } from '../apiserver/store.ts'
import type { KubeObject } from '../apiserver/types.ts'
import type { ConfigMap, KubeletApi, Secret, TokenRequest } from './api.ts'
import type { Pod } from './pod.ts'

export interface StoreApiOptions {
  readonly store: Store
  /** Certificate authority of the API server, PEM. */
  readonly caBundle: string
  /** Signs service-account tokens, as the TokenRequest subresource does. */
  readonly issueToken: (request: TokenRequest) => Promise<{ token: string; expirationSeconds: number }>
}

/** The kubelet's view of an API server in the same process. */
export function storeApi({ store, caBundle, issueToken }: StoreApiOptions): KubeletApi {
  const refOf = ({ metadata: { name, namespace } }: Pod) => ({ name, namespace })
  return {
    caBundle,
    issueToken,

    watchPods(node, set, gone) {
      return store.watch(resources.pods, { fieldSelector: `spec.nodeName=${node}` }, ({ type, object }) => {
        const pod = object as unknown as Pod
        if (type === 'DELETED') gone(pod)
        else set(pod)
      })
    },

    watchConfig(changed) {
      // What is there already was read, or will be, by who needs it.
      let replaying = true
      const follow = (kind: 'ConfigMap' | 'Secret', resource: typeof resources.configmaps) =>
        store.watch(resource, {}, ({ object: { metadata } }) => {
          if (!replaying) changed(kind, metadata.namespace ?? '', metadata.name)
        })
      const ends = [follow('ConfigMap', resources.configmaps), follow('Secret', resources.secrets)]
      replaying = false
      return () => {
        for (const end of ends) end()
      }
    },

    configMap: (namespace, name) => store.find(resources.configmaps, { namespace, name }) as ConfigMap | undefined,
    secret: (namespace, name) => store.find(resources.secrets, { namespace, name }) as Secret | undefined,

    async patchPodStatus(pod, status) {
      const found = store.find(resources.pods, refOf(pod))
      if (found?.metadata.uid === pod.metadata.uid) store.patch(resources.pods, refOf(pod), { status }, { subresource: 'status' })
    },

    async deletePod(pod) {
      const { uid } = pod.metadata
      if (store.find(resources.pods, refOf(pod))?.metadata.uid !== uid) return
      store.delete(resources.pods, refOf(pod), { gracePeriodSeconds: 0, preconditions: { uid } })
    },

    async createEvent(event) {
      store.create(resources.events, event as KubeObject)
    },

    async applyNode(node) {
      const { name } = node.metadata
      if (!store.find(resources.nodes, { name })) {
        store.create(resources.nodes, node as KubeObject)
        return
      }
      const { status, ...rest } = node as KubernetesObject & { status: unknown }
      store.patch(resources.nodes, { name }, rest)
      store.patch(resources.nodes, { name }, { status }, { subresource: 'status' })
    },
  }
}
