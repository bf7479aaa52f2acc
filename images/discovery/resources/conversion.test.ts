import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { KubeObject } from '../kubernetes/objects.ts'
import { Conversion, type Kinds } from './conversion.ts'
import type { ResourceSet } from './resource-set.ts'

const settings = { clusterId: 'c', rootNamespace: 'root', trustDomain: 'cluster.local', network: '', domain: 'cluster.local' }
const content = (set: ResourceSet) => Object.fromEntries([...set.names()].sort().map((name) => [name, set.get(name)]))

// A small world, so that objects meet: two names, three namespaces, two values of one label.
const name = fc.constantFrom('a', 'b')
const namespace = fc.constantFrom('x', 'y', 'root')
const label = fc.constantFrom('1', '2').map((v) => ({ l: v }))
const selector = fc.option(label, { nil: undefined })
const mode = fc.constantFrom('STRICT', 'PERMISSIVE', 'UNSET')
const metadata = (labels: fc.Arbitrary<Record<string, string>> = label) => fc.record({ name, namespace, labels })
const objects: { [K in keyof Kinds]: fc.Arbitrary<Kinds[K]> } = {
  pods: fc.record({
    metadata: metadata(),
    spec: fc.record({ nodeName: name, containers: fc.constant([]) }),
    status: fc.record({ podIP: fc.constantFrom('10.0.0.1', '10.0.0.2') }, { requiredKeys: [] }),
  }),
  services: fc.record({
    metadata: metadata(),
    spec: fc
      .record({ selector, clusterIP: fc.constantFrom('10.9.0.1', 'None'), type: fc.constantFrom('ClusterIP', 'ExternalName') })
      .map(({ selector: own, ...spec }) => ({ ...spec, ports: [{ name: 'p', port: 80 }], ...(own ? { selector: own } : {}) })),
  }),
  endpointSlices: fc.record({
    metadata: metadata(name.map((n) => ({ 'kubernetes.io/service-name': n }))),
    addressType: fc.constant('IPv4'),
    endpoints: fc.array(
      fc.oneof(
        fc.record({ addresses: fc.constantFrom<string[]>(['1.1.1.1'], ['1.1.1.2']) }),
        fc.record({ addresses: fc.constant<string[]>(['10.0.0.1']), targetRef: name.map((n) => ({ kind: 'Pod', name: n })) }),
      ),
      { maxLength: 3 },
    ),
    ports: fc.constant([{ name: 'p', port: 8080, protocol: 'TCP' }]),
  }),
  nodes: fc.record({
    metadata: fc.record({
      name,
      labels: fc.constantFrom<Record<string, string>>({}, { 'topology.kubernetes.io/zone': 'z' }, { other: '1' }),
    }),
  }),
  authorizationPolicies: fc.record({
    metadata: metadata(),
    spec: fc
      .record({ action: fc.constantFrom('ALLOW', 'DENY', 'AUDIT'), selector })
      .map(({ action, selector: own }) => ({ action, ...(own ? { selector: { matchLabels: own } } : {}) })),
  }),
  peerAuthentications: fc.record({
    metadata: metadata(),
    spec: fc.record({ selector, own: mode, port: mode }).map(({ selector: labels, own, port }) => ({
      mtls: { mode: own },
      portLevelMtls: { 80: { mode: port } },
      ...(labels ? { selector: { matchLabels: labels } } : {}),
    })),
  }),
}

type Step = { kind: keyof Kinds; object: KubeObject; remove: boolean; flush: boolean }
const step: fc.Arbitrary<Step> = fc
  .constantFrom(...(Object.keys(objects) as (keyof Kinds)[]))
  .chain((kind) =>
    fc.record({ kind: fc.constant(kind), object: objects[kind] as fc.Arbitrary<KubeObject>, remove: fc.boolean(), flush: fc.boolean() }),
  )

test('after any events the resources are those of a fresh conversion of what is there, and what changed was told', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const followed = new Conversion(settings)
      const there = new Map<string, Step>()
      // What somebody knows who hears only of changes.
      const told = { address: new Map<string, string>(), authorization: new Map<string, string>() }
      const hear = () => {
        const changes = followed.flush()
        for (const type of ['address', 'authorization'] as const) {
          const set = type === 'address' ? followed.addresses : followed.authorizations
          for (const gone of changes[type].removed) told[type].delete(gone)
          for (const changed of changes[type].changed) told[type].set(changed, set.get(changed)!.version)
        }
      }
      for (const s of steps) {
        const key = `${s.kind} ${s.object.metadata.namespace} ${s.object.metadata.name}`
        if (s.remove) {
          followed.remove(s.kind, s.object)
          there.delete(key)
        } else {
          followed.put(s.kind, s.object as never)
          there.set(key, s)
        }
        if (s.flush) hear()
      }
      hear()
      const fresh = new Conversion(settings)
      for (const s of there.values()) fresh.put(s.kind, s.object as never)
      fresh.flush()
      expect(content(followed.addresses)).toEqual(content(fresh.addresses))
      expect(content(followed.authorizations)).toEqual(content(fresh.authorizations))
      for (const [set, known] of [
        [fresh.addresses, told.address],
        [fresh.authorizations, told.authorization],
      ] as const)
        expect(Object.fromEntries(known)).toEqual(Object.fromEntries([...set.names()].map((n) => [n, set.get(n)!.version])))
    }),
    { numRuns: 300 },
  )
})

const pod = (podName: string, labels: Record<string, string>) => ({
  metadata: { name: podName, namespace: 'x', labels },
  spec: { nodeName: 'n', containers: [] },
  status: { podIP: '10.0.0.1' },
})

test('one pod that changes is one resource, and one that is only touched is none', () => {
  const conversion = new Conversion(settings)
  for (let i = 0; i < 100; i++) conversion.put('pods', pod(`p${i}`, { app: 'a' }))
  conversion.put('services', { metadata: { name: 's', namespace: 'x' }, spec: { selector: { app: 'a' }, clusterIP: '10.9.0.1' } })
  conversion.flush()
  conversion.put('pods', pod('p7', { app: 'a', version: '2' }))
  expect(conversion.flush()).toEqual({ address: { changed: ['c//Pod/x/p7'], removed: [] }, authorization: { changed: [], removed: [] } })
  conversion.put('pods', pod('p7', { app: 'a', version: '2', seen: 'no' }))
  conversion.put('services', { metadata: { name: 's', namespace: 'x' }, spec: { selector: { app: 'a' }, clusterIP: '10.9.0.1' } })
  expect(conversion.flush().address).toEqual({ changed: [], removed: [] })
})

test('a version is of the content: two control planes have the same, whatever came before', () => {
  const [one, two] = [new Conversion(settings), new Conversion(settings)]
  two.put('pods', pod('p', { version: 'before' }))
  two.flush()
  for (const c of [one, two]) {
    c.put('pods', pod('p', { app: 'a' }))
    c.flush()
  }
  expect(one.addresses.get('c//Pod/x/p')?.version).toBe(two.addresses.get('c//Pod/x/p')?.version)
})
