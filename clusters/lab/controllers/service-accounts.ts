import { ApiError, resources } from '../apiserver/store.ts'
import type { Namespace } from '../apiserver/types.ts'
import { type Controller, stopAll } from './queue.ts'

const config = 'kube-root-ca.crt'

/**
 * Every namespace has the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`. Made in the same turn as the namespace, so that who made it can start pods at
 * once; made again when somebody deletes or changes them.
 */
export const serviceAccounts: Controller = ({ store, caPem }) => {
  const data = { 'ca.crt': caPem }
  const fill = (name: string) => {
    const namespace = store.find(resources.namespaces, { name })
    if (!namespace || namespace.metadata.deletionTimestamp) return
    const ref = { name: config, namespace: name }
    if (!store.find(resources.serviceaccounts, { name: 'default', namespace: name })) {
      ensure(() => store.create(resources.serviceaccounts, { metadata: { name: 'default', namespace: name } }))
    }
    const found = store.find(resources.configmaps, ref)
    if (!found) {
      const annotations = { 'kubernetes.io/description': 'Certificate authority of the API server, for verifying connections to it.' }
      ensure(() => store.create(resources.configmaps, { metadata: { ...ref, annotations }, data }))
    } else if ((found.data as typeof data | undefined)?.['ca.crt'] !== caPem) store.patch(resources.configmaps, ref, { data })
  }
  return stopAll([
    store.watch(resources.namespaces, {}, ({ type, object }: { type: string; object: Namespace }) => {
      if (type !== 'DELETED') fill(object.metadata.name)
    }),
    store.watch(resources.serviceaccounts, { fieldSelector: 'metadata.name=default' }, ({ type, object }) => {
      if (type === 'DELETED') fill(object.metadata.namespace!)
    }),
    store.watch(resources.configmaps, { fieldSelector: `metadata.name=${config}` }, ({ object }) => fill(object.metadata.namespace!)),
  ])
}

function ensure(create: () => unknown): void {
  try {
    create()
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== 'AlreadyExists') throw error
  }
}
