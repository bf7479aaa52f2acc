import { equal } from '../apiserver/json.ts'
import { randomSuffix } from '../apiserver/names.ts'
import { resources, type Store } from '../apiserver/store.ts'
import type { KubeObject, Pod, Service } from '../apiserver/types.ts'
import { endpointsOf, type SliceContent, sliceContents } from './endpoint-slices.ts'
import { ownedBy } from './pods.ts'
import { type Controller, keyOf, refOf, stopAll, WorkQueue } from './queue.ts'

const manager = 'endpointslice-controller.k8s.io'

/** EndpointSlices (and Endpoints, for those who still read them) of every Service with a selector, from the pods that it selects and their readiness. */
export const endpoints: Controller = ({ store, onError }) => {
  const queue = new WorkQueue((key) => {
    const service = store.find(resources.services, refOf(key))
    if (service) sync(store, service)
    // Slices are the Service's dependents; the Endpoints object is only its namesake.
    else if (isOurs(store.find(resources.endpoints, refOf(key)))) store.delete(resources.endpoints, refOf(key))
  }, onError)
  const labels = new Map<string, Record<string, string>>()
  return stopAll([
    store.watch(resources.services, {}, ({ object }) => queue.add(keyOf(object))),
    store.watch(resources.pods, {}, ({ type, object }) => {
      const key = keyOf(object)
      const before = labels.get(key)
      if (type === 'DELETED') labels.delete(key)
      else labels.set(key, object.metadata.labels ?? {})
      for (const service of store.list(resources.services, { namespace: object.metadata.namespace })) {
        if (selects(service, object.metadata.labels) || (before && selects(service, before))) queue.add(keyOf(service))
      }
    }),
    store.watch(resources.endpointslices, { labelSelector: `endpointslice.kubernetes.io/managed-by=${manager}` }, ({ type, object }) => {
      const name = object.metadata.labels?.['kubernetes.io/service-name']
      if (type === 'DELETED' && name) queue.add(`${object.metadata.namespace}/${name}`)
    }),
    () => queue.stop(),
  ])
}

function selects({ spec: { selector } }: Service, labels: Record<string, string> = {}): boolean {
  const wanted = Object.entries(selector ?? {})
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value)
}

function sync(store: Store, service: Service): void {
  if (service.metadata.deletionTimestamp || Object.keys(service.spec.selector ?? {}).length === 0) return
  const { name, namespace } = service.metadata
  const pods: Pod[] = store.list(resources.pods, { namespace }).filter((pod) => selects(service, pod.metadata.labels))
  const contents = sliceContents(service, pods)
  const labels = {
    ...service.metadata.labels,
    'kubernetes.io/service-name': name,
    'endpointslice.kubernetes.io/managed-by': manager,
    ...(service.spec.clusterIP === 'None' && { 'service.kubernetes.io/headless': '' }),
  }
  const labelSelector = `kubernetes.io/service-name=${name},endpointslice.kubernetes.io/managed-by=${manager}`
  writeSlices(store, service, contents, labels, store.list(resources.endpointslices, { namespace, labelSelector }))
  writeEndpoints(store, service, contents)
}

function writeSlices(
  store: Store,
  service: Service,
  contents: readonly SliceContent[],
  labels: Record<string, string>,
  existing: readonly KubeObject[],
): void {
  const { name, namespace } = service.metadata
  const left = existing.filter((slice) => !slice.metadata.deletionTimestamp)
  const take = (test: (slice: KubeObject) => boolean) => {
    const found = left.find(test)
    if (found) left.splice(left.indexOf(found), 1)
    return found
  }
  const sameFirst = contents.map((content) => ({ content, slice: take((slice) => equal(slice.ports, content.ports)) }))
  for (const { content, slice = take(() => true) } of sameFirst) {
    const body = { addressType: 'IPv4', ...content }
    if (slice) store.update(resources.endpointslices, { ...slice, metadata: { ...slice.metadata, labels }, ...body })
    else {
      const metadata = {
        name: `${name}-${randomSuffix()}`,
        generateName: `${name}-`,
        namespace: namespace!,
        labels,
        ownerReferences: ownedBy(service),
      }
      store.create(resources.endpointslices, { metadata, ...body })
    }
  }
  for (const slice of left) store.delete(resources.endpointslices, slice.metadata)
}

function isOurs(object: KubeObject | undefined): boolean {
  return object?.metadata.labels?.['endpoints.kubernetes.io/managed-by'] === 'endpoint-controller'
}

function writeEndpoints(store: Store, service: Service, contents: readonly SliceContent[]): void {
  const { name, namespace } = service.metadata
  const existing = store.find(resources.endpoints, service.metadata)
  if (existing && !isOurs(existing)) return
  const headless = service.spec.clusterIP === 'None' ? { 'service.kubernetes.io/headless': '' } : {}
  const labels = { ...service.metadata.labels, 'endpoints.kubernetes.io/managed-by': 'endpoint-controller', ...headless }
  const body = { metadata: { name, namespace: namespace!, labels }, subsets: endpointsOf(contents) }
  if (existing) store.update(resources.endpoints, body)
  else store.create(resources.endpoints, body)
}
