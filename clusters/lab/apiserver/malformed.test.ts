import fc from 'fast-check'
import { expect, test } from 'vitest'
import { copy, isObject, type Json } from './json.ts'
import type { Gvr } from './resources.ts'
import { ApiError, resources, Store } from './store.ts'

const metadata = {
  name: 'a',
  namespace: 'n',
  labels: { app: 'x' },
  ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'o', uid: 'u' }],
  finalizers: ['x/y'],
}
const podSpec = {
  containers: [
    {
      name: 'c',
      image: 'i:1',
      ports: [{ name: 'web', containerPort: 80 }],
      env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
      volumeMounts: [{ name: 'v', mountPath: '/v' }],
      readinessProbe: { httpGet: { port: 80 } },
      resources: { limits: { cpu: '1' }, requests: { cpu: '1' } },
    },
  ],
  volumes: [{ name: 'v', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }],
  tolerations: [{ key: 'k' }],
  nodeSelector: { a: 'b' },
}
const workload = { selector: { matchLabels: { app: 'x' } }, template: { metadata: { labels: { app: 'x' } }, spec: podSpec } }
const rollingUpdate = { maxSurge: 1, maxUnavailable: 0 }
const examples: [Gvr, object][] = [
  [resources.pods, { metadata, spec: podSpec, status: { conditions: [{ type: 'Ready', status: 'True' }] } }],
  [resources.daemonsets, { metadata, spec: { ...workload, updateStrategy: { type: 'RollingUpdate', rollingUpdate } } }],
  [resources.deployments, { metadata, spec: { ...workload, replicas: 2, strategy: { type: 'RollingUpdate', rollingUpdate } } }],
  [
    resources.services,
    {
      metadata,
      spec: {
        selector: { app: 'x' },
        clusterIP: '10.96.0.9',
        clusterIPs: ['10.96.0.9'],
        ports: [{ name: 'http', port: 80, targetPort: 'web' }],
      },
    },
  ],
  [resources.configmaps, { metadata, data: { a: 'b' } }],
  [
    resources.nodes,
    {
      metadata,
      spec: { taints: [{ key: 'k', effect: 'NoSchedule' }] },
      status: { addresses: [{ type: 'InternalIP', address: '1.2.3.4' }] },
    },
  ],
  [resources.endpointslices, { metadata, addressType: 'IPv4', endpoints: [{ addresses: ['1.2.3.4'] }], ports: [{ port: 1 }] }],
  [resources.authorizationpolicies, { metadata, spec: { rules: [{ from: [] }] } }],
]

/** All places in a value. */
function places(value: Json, at: (string | number)[] = []): (string | number)[][] {
  const inner = Array.isArray(value) ? value.map((v, i) => [i, v] as const) : isObject(value) ? Object.entries(value) : []
  return [at, ...inner.flatMap(([key, v]) => places(v, [...at, key]))]
}

function replaced(value: Json, [step, ...rest]: (string | number)[], by: Json): Json {
  if (step === undefined) return by
  const result = copy(value) as Record<string | number, Json>
  result[step] = replaced(result[step]!, rest, by)
  return result as Json
}

function newStore(): Store {
  const store = new Store()
  store.create(resources.namespaces, { metadata: { name: 'n' } })
  store.create(resources.serviceaccounts, { metadata: { name: 'default', namespace: 'n' } })
  return store
}

/** @returns the code: 200, or of the error; anything but an ApiError is thrown on */
function codeOf(call: () => unknown): number {
  try {
    call()
    return 200
  } catch (error) {
    if (error instanceof ApiError) return error.code
    throw error
  }
}

const wrong = fc.oneof(
  fc.constantFrom<Json>(null, '', 'x', 0, -1, 1.5, true, [], {}, [null], [[]], [{}], { a: null }),
  fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<Json>,
)
const one = fc.constantFrom(...examples)

test.each(examples)('the examples themselves are taken (%#)', (resource, object) => {
  expect(codeOf(() => newStore().create(resource, object as never))).toBe(200)
})

test('whatever stands in for a value: it is taken or refused with a reason, never a crash; what is taken can be read, written, applied and deleted', () => {
  fc.assert(
    fc.property(one, fc.nat(), wrong, fc.constantFrom('merge', 'strategic', 'apply'), ([resource, object], place, value, type) => {
      let store = newStore()
      const all = places(object as Json)
      const broken = replaced(object as Json, all[place % all.length]!, value)
      if (!isObject(broken)) return
      const created = codeOf(() => store.create(resource, broken as never))
      expect([200, 400, 403, 404, 422]).toContain(created)
      const ref = { name: 'a', namespace: 'n' }
      // Also what was refused must be refused, or taken, as a change of a sound object.
      if (!store.find(resource, ref)) {
        store = newStore()
        store.create(resource, object as never)
      }
      const found = store.get(resource, ref)
      expect(codeOf(() => store.update(resource, found))).toBe(200)
      const named = { kind: found.kind, apiVersion: found.apiVersion, ...broken }
      expect([200, 400, 409, 415, 422]).toContain(
        codeOf(() => store.patch(resource, ref, named, { type: type as 'merge', fieldManager: 'm' })),
      )
      expect([200, 400, 409, 415, 422]).toContain(codeOf(() => store.patch(resource, ref, named, { subresource: 'status' })))
      expect(codeOf(() => store.delete(resource, ref))).toBe(200)
    }),
    { numRuns: 500 },
  )
})

test.each(examples.slice(0, 3))('a change that takes the spec away is refused with a reason (%#)', (resource, object) => {
  const store = newStore()
  store.create(resource, object as never)
  const patch = () => store.patch(resource, { name: 'a', namespace: 'n' }, { spec: null }, { type: 'merge' })
  expect([400, 422]).toContain(codeOf(patch))
})

test('the error names the field', () => {
  const broken = { metadata, spec: { containers: [{ name: 'c', image: 5 }] } }
  const message = expect.stringContaining('spec.containers[0].image: must be a string, is 5')
  expect(() => newStore().create(resources.pods, broken as never)).toThrow(expect.objectContaining({ code: 400, message }))
})
