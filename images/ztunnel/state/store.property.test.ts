import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseLocalState } from './local-schema.ts'
import { type Changes, MeshState } from './store.ts'
import { type Policy, policyKey, type Service, serviceKey, type Workload } from './types.ts'

// Whatever came and went, look-ups answer as if only what is there now had ever come.
const ip = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3')
const blank = parseLocalState('workloads: [{ uid: x, name: x, namespace: d }]', 't').workloads[0]!
const hosts = ['d/web.d', 'd/api.d'] as const
const workload: fc.Arbitrary<Workload> = fc
  .record({
    uid: fc.constantFrom('a', 'b', 'c', 'd'),
    name: fc.constantFrom('one', 'two'),
    serviceAccount: fc.constantFrom('x', 'y'),
    hostname: fc.constantFrom('', 'Host.d'),
    networkMode: fc.constantFrom('Standard' as const, 'HostNetwork' as const),
    workloadIps: fc.uniqueArray(ip, { maxLength: 2 }),
    status: fc.constantFrom('Healthy' as const, 'Unhealthy' as const),
    services: fc.dictionary(fc.constantFrom(...hosts), fc.constant({ 80: 8080 })),
  })
  .map((some) => ({ ...blank, ...some }))
const service: fc.Arbitrary<Service> = fc
  .record({
    hostname: fc.constantFrom('web.d', 'api.d', 'API.d'),
    vips: fc.uniqueArray(
      ip.map((a) => `/${a}`),
      { maxLength: 2 },
    ),
    ports: fc.constantFrom({ 80: 8080 }, {}),
  })
  .map((some) => ({ name: 's', namespace: 'd', subjectAltNames: [], canonical: false, visibility: 'Public', ...some }))
const policy: fc.Arbitrary<Policy> = fc
  .record({
    name: fc.constantFrom('p', 'q'),
    namespace: fc.constantFrom('d', 'e'),
    scope: fc.constantFrom('Global', 'Namespace', 'WorkloadSelector'),
  })
  .map((some) => ({ action: 'Deny', rules: [], dryRun: false, ...some }))

const keys = {
  workloads: fc.constantFrom('a', 'b', 'c', 'd', 'gone'),
  services: fc.constantFrom(...hosts, 'd/gone'),
  policies: fc.constantFrom('d/p', 'e/q', 'd/gone'),
}
const list = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 2 })
const batch: fc.Arbitrary<Changes> = fc.record({
  workloads: list(workload),
  services: list(service),
  policies: list(policy),
  removed: fc.record({ workloads: list(keys.workloads), services: list(keys.services), policies: list(keys.policies) }),
})

// A workload that comes again with its services in another order is the same workload.
const inOrder = (_: string, value: unknown) =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    : value
const sorted = (items: Iterable<unknown>) => [...items].map((item) => JSON.stringify(item, inOrder)).sort()
function answers(state: MeshState): unknown {
  const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3']
  // Of several that share an address any may be first: how many there are to choose from is what counts.
  return {
    all: [sorted(state.workloads.values()), sorted(state.services.values()), sorted(state.policies.values())],
    at: addresses.map((a) => [state.workloadAt('', a)?.networkMode, state.serviceAt('', a) !== undefined]),
    named: ['one', 'two'].flatMap((name) =>
      ['x', 'y'].map((serviceAccount) => state.workloadNamed({ namespace: 'd', name, serviceAccount }) !== undefined),
    ),
    hosts: ['web.d', 'api.d'].map((h) => sorted(state.servicesWithHost(h))),
    workloadHosts: sorted(state.workloadsWithHost('host.d')),
    endpoints: hosts.map((key) => sorted(state.endpointsOf(key))),
    staged: sorted([...state.staged()].map(([key]) => key)),
    policies: ['d', 'e', 'f'].map((namespace) => sorted(state.policiesOver(namespace))),
  }
}

test('a state made by any batches answers as one made of what is left', () => {
  fc.assert(
    fc.property(fc.array(batch, { maxLength: 8 }), (batches) => {
      const state = new MeshState()
      const left = { workloads: new Map<string, Workload>(), services: new Map<string, Service>(), policies: new Map<string, Policy>() }
      let changes = 0
      state.on('changed', () => changes++)
      for (const b of batches) {
        state.apply(b)
        for (const kind of ['workloads', 'services', 'policies'] as const) for (const key of b.removed?.[kind] ?? []) left[kind].delete(key)
        for (const w of b.workloads ?? []) left.workloads.set(w.uid, w)
        for (const s of b.services ?? []) left.services.set(serviceKey(s), s)
        for (const p of b.policies ?? []) left.policies.set(policyKey(p), p)
      }
      expect(changes).toBe(batches.length)
      const resources = {
        workloads: [...left.workloads.values()],
        services: [...left.services.values()],
        policies: [...left.policies.values()],
      }
      const fresh = new MeshState()
      fresh.replace(resources)
      expect(answers(state)).toEqual(answers(fresh))
      state.replace({ workloads: [], services: [], policies: [] })
      expect(answers(state)).toEqual(answers(new MeshState()))
    }),
    { numRuns: 600 },
  )
})
