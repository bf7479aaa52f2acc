import { allResources } from '../apiserver/resources.ts'
import { resources } from '../apiserver/store.ts'
import { type Controller, stopAll, WorkQueue } from './queue.ts'

const contents = allResources.filter((resource) => resource.namespaced)

/** Empties a namespace that is being deleted, and lets it go when the last object in it is gone. */
export const namespaces: Controller = ({ store, onError }) => {
  const queue = new WorkQueue((name) => {
    const namespace = store.find(resources.namespaces, { name })
    if (!namespace?.metadata.deletionTimestamp) return
    for (const resource of contents) {
      for (const { metadata } of store.list(resource, { namespace: name })) {
        if (!metadata.deletionTimestamp) store.delete(resource, metadata, { propagationPolicy: 'Background' })
      }
    }
    if (contents.some((resource) => store.list(resource, { namespace: name }).length > 0)) return
    store.update(resources.namespaces, { ...namespace, spec: { ...namespace.spec, finalizers: [] } }, { subresource: 'finalize' })
  }, onError)
  const dying = new Set<string>()
  const stops = contents.map((resource) =>
    store.watch(resource, { resourceVersion: store.resourceVersion }, ({ type, object }) => {
      if (type === 'DELETED' && dying.has(object.metadata.namespace!)) queue.add(object.metadata.namespace!)
    }),
  )
  const stop = store.watch(resources.namespaces, {}, ({ type, object: { metadata } }) => {
    if (type === 'DELETED') dying.delete(metadata.name)
    else if (metadata.deletionTimestamp) {
      dying.add(metadata.name)
      queue.add(metadata.name)
    }
  })
  return stopAll([stop, ...stops, () => queue.stop()])
}
