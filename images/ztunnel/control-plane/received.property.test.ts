import fc from 'fast-check'
import { expect, test } from 'vitest'
import { typeUrls } from '../../lib/xds/messages.ts'
import { MeshState } from '../state/store.ts'
import { policyResource, serviceResource, workloadResource } from '../testbed/control-plane.ts'
import { Received } from './received.ts'

// What a control plane may send as a resource: any bytes.
const good = [
  workloadResource({
    uid: 'u',
    name: 'n',
    namespace: 'd',
    addresses: [Uint8Array.of(10, 0, 0, 1)],
    services: { 'd/h': { ports: [{ servicePort: 80, targetPort: 1 }] } },
    capacity: { value: 3 },
  }),
  serviceResource({
    name: 's',
    namespace: 'd',
    hostname: 'h',
    addresses: [{ network: '', address: Uint8Array.of(10, 96, 0, 1) }],
    ports: [{ servicePort: 80, targetPort: 1 }],
  }),
  policyResource({
    name: 'p',
    namespace: 'd',
    rules: [
      { clauses: [{ matches: [{ principals: [{ exact: 'x' }], sourceIps: [{ address: Uint8Array.of(10, 0, 0, 0), length: 8 }] }] }] },
    ],
  }),
].map((r) => r.resource.value)
const mutated = fc
  .tuple(fc.constantFrom(...good), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat(20))
  .map(([bytes, changes, cut]) => {
    const copy = Buffer.from(bytes)
    for (const [at, value] of changes) copy[at % copy.length] = value
    return copy.subarray(0, copy.length - (cut > 15 ? (cut - 15) % copy.length : 0))
  })
const value = fc.oneof(
  mutated,
  mutated,
  fc.uint8Array({ maxLength: 80 }).map((b) => Buffer.from(b)),
)
const name = fc.constantFrom('a', 'b', 'c', '__proto__', '')
const url = fc.constantFrom(typeUrls.address, typeUrls.authorization)

test('any resources are either taken or named as bad; what is held is what the mesh has', () => {
  let taken = 0
  let refused = 0
  fc.assert(
    fc.property(
      url,
      fc.array(
        fc.tuple(
          fc.array(fc.tuple(name, fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: url }), value), {
            maxLength: 3,
          }),
          fc.array(name, { maxLength: 2 }),
        ),
        { maxLength: 5 },
      ),
      (typeUrl, responses) => {
        const state = new MeshState()
        const received = new Received(typeUrl)
        for (const [resources, removedResources] of responses) {
          const result = received.take({
            systemVersionInfo: '',
            typeUrl,
            nonce: 'n',
            removedResources,
            resources: resources.map(([n, other, bytes]) => ({
              name: n,
              version: 'v',
              aliases: [],
              ttl: undefined,
              cacheControl: undefined,
              resource: { typeUrl: other ?? typeUrl, value: bytes },
            })),
          })
          state.apply(result.changes)
          expect(result.put.length + result.bad.length).toBe(resources.length)
          for (const { reason } of result.bad) expect(reason).not.toBe('')
          taken += result.put.length
          refused += result.bad.length
        }
        const held = Object.keys(received.versions()).length
        const there = state.workloads.size + state.services.size + state.policies.size
        // Two names may stand for one thing, never one name for two.
        expect(there).toBeLessThanOrEqual(held)
        for (const policy of state.policies.values()) expect(['Allow', 'Deny']).toContain(policy.action)
      },
    ),
    { numRuns: 1500 },
  )
  expect(taken).toBeGreaterThan(100)
  expect(refused).toBeGreaterThan(100)
})
