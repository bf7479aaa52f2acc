import type { StartedTestContainer } from 'testcontainers'
import { type ApiServer, createApiServer } from '../../../lab/apiserver/server.ts'
import { resources } from '../../../lab/apiserver/store.ts'
import { meshManifests } from '../../../manifests/mesh.ts'
import type { DockerImages } from './docker-images.ts'

/** Where it listens, on the loopback. */
export const apiPort = 6443

const rights = {
  Namespace: resources.namespaces,
  ServiceAccount: resources.serviceaccounts,
  ClusterRole: resources.clusterroles,
  ClusterRoleBinding: resources.clusterrolebindings,
  Role: resources.roles,
  RoleBinding: resources.rolebindings,
}

/** A Kubernetes API in a container's network, where the mesh's accounts may do what our manifests say and nothing else. */
export async function meshApi(images: DockerImages, container: StartedTestContainer): Promise<ApiServer> {
  const api = await createApiServer({ listeners: [{ fd: await images.listener(container, apiPort) }] })
  for (const object of meshManifests({ release: 'today', mode: 'inpod' })) {
    const resource = rights[object.kind as keyof typeof rights]
    if (resource) api.store.create(resource, object as never)
  }
  return api
}
