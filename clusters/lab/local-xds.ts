import { localXds } from '../local-xds.ts'
import { localXdsConfigMap, localXdsKey, meshNamespace } from '../manifests/names.ts'
import { resources, type Store } from './apiserver/store.ts'
import { Latest } from './latest.ts'
import { storeView } from './store-view.ts'

/** Pods change in bursts: the text is made this often at most, milliseconds. */
const minimumMs = 50

/**
 * Keeps the ConfigMap that ztunnel reads its workloads and policies from equal to what the API says, from the moment on when the mesh's namespace is there:
 * written at once, once for all changes of a turn of the event loop and of a burst, and only if the text changed.
 * @returns stops it
 */
export function startLocalXds(store: Store, onError: (error: Error) => void): () => Promise<void> {
  const view = storeView(store)
  const write = () => {
    const namespaces = view.list('namespaces')
    const home = namespaces.find((n) => n.metadata.name === meshNamespace)
    if (!home || home.metadata.deletionTimestamp) return
    const text = localXds({
      pods: view.list('pods'),
      services: view.list('services'),
      policies: view.list('authorizationpolicies'),
      authentications: view.list('peerauthentications'),
      namespaces,
    })
    const found = store.find(resources.configmaps, { namespace: meshNamespace, name: localXdsConfigMap })
    if ((found?.data as Record<string, string> | undefined)?.[localXdsKey] === text) return
    const metadata = { name: localXdsConfigMap, namespace: meshNamespace }
    const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { [localXdsKey]: text } }
    store.apply(resources.configmaps, configMap, { fieldManager: 'everyhop-local-xds', force: true })
  }
  const writes = new Latest(write, onError, minimumMs)
  const unwatch = view.watch(['namespaces', 'pods', 'services', 'authorizationpolicies', 'peerauthentications', 'configmaps'], () =>
    writes.call(),
  )
  return async () => {
    unwatch()
    await writes.stop()
  }
}
