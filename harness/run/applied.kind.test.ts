import { request } from 'node:https'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ApiClient } from '../../clusters/api-client.ts'
import { type RealApiServer, startRealApiServer } from '../../clusters/kind/testing/api-server.ts'
import type { KubernetesObject } from '../../clusters/kubernetes.ts'
import { appManifests } from '../../clusters/manifests/apps.ts'
import { meshManifests } from '../../clusters/manifests/mesh.ts'
import { grants } from '../../clusters/manifests/testing/grants.ts'
import { parseValues } from '../../clusters/manifests/values/read.ts'
import { loadTopology } from '../../clusters/topology.ts'
import { allowOnly, denyAll, strictIn } from '../traffic/policies.ts'

let server: RealApiServer
let api: ApiClient
// Compiled when they are in no cache: minutes.
beforeAll(async () => {
  server = await startRealApiServer()
  api = new ApiClient(server.access)
}, 1_800_000)
afterAll(async () => {
  api?.close()
  await server?.[Symbol.asyncDispose]()
})

const releases = ['today', '1.21'] as const
const everything = (release: string): KubernetesObject[] => [
  ...meshManifests({ mode: 'inpod', release }),
  ...appManifests(loadTopology('two-nodes')),
]

/** Applies the object as the product does. @returns what the server warns of */
async function apply(object: KubernetesObject): Promise<string[]> {
  const path = `${await api.collection(object)}/${object.metadata.name}?fieldManager=everyhop&force=true&fieldValidation=Strict`
  const { promise, resolve, reject } = Promise.withResolvers<string[]>()
  const headers = { authorization: `Bearer ${server.access.token}`, 'content-type': 'application/apply-patch+yaml' }
  const sent = request(new URL(path, server.access.server), { method: 'PATCH', ca: server.access.ca!, headers }, async (response) => {
    const text = (await response.setEncoding('utf8').toArray()).join('')
    if ((response.statusCode ?? 500) < 300) resolve([response.headers.warning ?? []].flat().map(String))
    else reject(new Error(`${object.kind} ${object.metadata.name}: ${text}`))
  })
  sent.on('error', reject)
  sent.end(JSON.stringify(object))
  return promise
}

const read = async (object: KubernetesObject) =>
  api.json<KubernetesObject>('GET', `${await api.collection(object)}/${object.metadata.name}`)

test.each(releases)(
  'Kubernetes takes everything of release %s, whole, without a warning; applied again it is no change',
  async (release) => {
    const objects = everything(release)
    for (const object of objects) expect(await apply(object), `${object.kind} ${object.metadata.name}`).toEqual([])
    const versions = new Map<KubernetesObject, unknown>()
    for (const object of objects) versions.set(object, (await read(object)).metadata.resourceVersion)
    for (const object of objects) {
      await apply(object)
      // Definitions of kinds and namespaces have controllers here that write their status.
      if (!['CustomResourceDefinition', 'Namespace'].includes(object.kind))
        expect((await read(object)).metadata.resourceVersion, `${object.kind} ${object.metadata.name}`).toBe(versions.get(object))
    }
  },
)

test('the policies of the matrix are of the kinds that the mesh defines, and a slip in one is refused', async () => {
  const target = { name: 'httpbin-one-a', namespace: 'demo' }
  const policies = [allowOnly(target, 'cluster.local/ns/demo/sa/a'), denyAll(target, [80]), strictIn('demo')]
  await api.until('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', (all) => {
    const established = (o: KubernetesObject) => JSON.stringify(o.status).includes('"type":"Established"')
    return (all.length > 1 && all.every(established)) || undefined
  })
  for (const policy of policies) expect(await apply(policy)).toEqual([])
  const [allow] = policies as [KubernetesObject]
  await expect(apply({ ...allow, spec: { action: 'PERMIT' } })).rejects.toThrow(/Unsupported value: .*PERMIT/)
  await expect(apply({ ...allow, spec: { rule: [] } })).rejects.toThrow(/field not declared in schema|unknown field/)
})

test('settings of a values file are taken too', async () => {
  const { values } = parseValues(
    `global: { hub: registry.local/mesh, imagePullPolicy: Always, imagePullSecrets: [mine], defaultResources: { requests: { cpu: 10m } } }
cni: { cniConfFileName: 10-a.conflist, tolerations: [{ operator: Exists }], affinity: { nodeAffinity: {} }, podAnnotations: { a: 1 } }
ztunnel: { terminationGracePeriodSeconds: 5, env: { RUST_LOG: debug }, nodeSelector: { disk: ssd } }`,
    'mine.yaml',
  )
  for (const object of meshManifests({ ...values, mode: 'inpod', release: 'today' })) expect(await apply(object)).toEqual([])
})

test('the rights of the mesh are those that its roles spell out, and no others', async () => {
  const may = async (account: string, attributes: Record<string, string | undefined>) => {
    const spec = {
      user: `system:serviceaccount:${account.replace('/', ':')}`,
      groups: ['system:authenticated'],
      resourceAttributes: attributes,
    }
    const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', metadata: {}, spec }
    const answer = await api.json<{ status: { allowed: boolean } }>('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', review)
    return answer.status.allowed
  }
  const all = grants(meshManifests({ mode: 'inpod', release: 'today' }))
  for (const { account, verb, group, resource, name } of all) {
    const [main, subresource] = resource.split('/')
    expect(
      await may(account, { verb, group, resource: main, subresource, name, namespace: 'istio-system' }),
      JSON.stringify({ account, verb, resource }),
    ).toBe(true)
  }
  const accounts = ['istio-system/istiod', 'istio-system/istio-cni', 'istio-system/ztunnel']
  for (const account of accounts) {
    for (const resource of ['secrets', 'pods']) expect(await may(account, { verb: 'delete', resource, namespace: 'demo' })).toBe(false)
    expect(await may(account, { verb: 'get', resource: 'secrets', namespace: 'demo' })).toBe(false)
    expect(await may(account, { verb: 'create', resource: 'pods', subresource: 'exec', namespace: 'demo' })).toBe(false)
  }
  expect(await may('istio-system/ztunnel', { verb: 'list', resource: 'pods' })).toBe(false)
})
