import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { authorize, type PolicyConnection } from './rbac.ts'
import { MeshState } from './state/store.ts'
import type { Policy, PolicyMatch, StringMatch, Workload } from './state/types.ts'
import { mesh } from './testbed/mesh.ts'

// A second evaluator, written from the words of the fact sheet (in-pod mode, 4.7) and from nothing else: plain bits and text, no library.

const bits = (address: string): string => {
  if (!address.includes(':'))
    return address
      .split('.')
      .map((n) => Number(n).toString(2).padStart(8, '0'))
      .join('')
  const [head = '', tail] = address.split('::')
  const words = (s = '') => (s === '' ? [] : s.split(':'))
  const missing = 8 - words(head).length - words(tail).length
  const all = tail === undefined ? words(head) : [...words(head), ...Array<string>(missing).fill('0'), ...words(tail)]
  return all.map((w) => Number.parseInt(w, 16).toString(2).padStart(16, '0')).join('')
}
const inside = (block: string, address: string) => {
  const [base = '', length] = block.split('/')
  const [a, b] = [bits(base), bits(address)]
  return a.length === b.length && b.startsWith(a.slice(0, length === undefined ? a.length : Number(length)))
}
const text = (pattern: StringMatch, value: string) =>
  pattern === 'Presence'
    ? value.length > 0
    : 'Exact' in pattern
      ? pattern.Exact === value
      : 'Prefix' in pattern
        ? value.slice(0, pattern.Prefix.length) === pattern.Prefix
        : pattern.Suffix === '' || value.slice(-pattern.Suffix.length) === pattern.Suffix

function kinds(c: PolicyConnection): { [kind: string]: (item: never) => boolean } {
  const id = c.identity
  return {
    namespaces: (p: StringMatch) => text(p, id ? id.namespace : ''),
    // Compared without `spiffe://`; without an identity there is nothing to compare.
    principals: (p: StringMatch) => !!id && text(p, `${id.trustDomain}/ns/${id.namespace}/sa/${id.serviceAccount}`),
    serviceAccounts: (s: { namespace: string; serviceAccount: string }) =>
      !!id && s.namespace === id.namespace && s.serviceAccount === id.serviceAccount,
    sourceIps: (b: string) => inside(b, c.sourceIp),
    destinationIps: (b: string) => inside(b, c.destinationIp),
    destinationPorts: (p: number) => p === c.destinationPort,
  }
}

function matchSays(match: PolicyMatch, c: PolicyConnection): boolean {
  const lists = match as Record<string, readonly never[] | undefined>
  let set = false
  for (const [kind, hit] of Object.entries(kinds(c))) {
    const some = lists[kind] ?? []
    const none = lists[`not${kind[0]!.toUpperCase()}${kind.slice(1)}`] ?? []
    if (some.length > 0 || none.length > 0) set = true
    if (some.length > 0 && some.filter(hit).length === 0) return false
    if (none.filter(hit).length > 0) return false
  }
  return set
}

function policySays(policy: Policy, c: PolicyConnection): boolean {
  for (const rule of policy.rules) {
    let all = true
    for (const clause of rule) if (clause.length > 0 && clause.filter((m) => matchSays(m, c)).length === 0) all = false
    if (all) return true
  }
  return false
}

function naive(policies: readonly Policy[], workload: Workload, c: PolicyConnection): 'denied' | 'none allowed' | 'allowed' {
  const mine = policies.filter(
    (p) =>
      !p.dryRun &&
      (p.scope === 'Global' ||
        (p.scope === 'Namespace' && p.namespace === workload.namespace) ||
        workload.authorizationPolicies.includes(`${p.namespace}/${p.name}`)),
  )
  for (const p of mine) if (p.action === 'Deny' && policySays(p, c)) return 'denied'
  const allows = mine.filter((p) => p.action === 'Allow')
  if (allows.length === 0) return 'allowed'
  return allows.some((p) => policySays(p, c)) ? 'allowed' : 'none allowed'
}

// Few values, so that things meet.
const name = fc.constantFrom('demo', 'other', 'dem', 'mo', '')
const ip = fc.constantFrom(
  '10.0.0.1',
  '10.0.0.2',
  '10.1.0.1',
  '0.0.0.0',
  '255.255.255.255',
  'fd00::1',
  'fd00::2',
  '::',
  '::1',
  '::ffff:0:1',
)
const block = fc.oneof(
  ip,
  ip.chain((address) => fc.integer({ min: 0, max: address.includes(':') ? 128 : 32 }).map((length) => `${address}/${length}`)),
)
const pattern = (value: fc.Arbitrary<string>): fc.Arbitrary<StringMatch> =>
  fc.oneof(
    fc.constant('Presence' as const),
    value.map((Exact) => ({ Exact })),
    value.map((Prefix) => ({ Prefix })),
    value.map((Suffix) => ({ Suffix })),
  )
const principals = pattern(
  fc.constantFrom('cluster.local/ns/demo/sa/a', 'cluster.local/ns/demo', '/sa/a', 'spiffe://cluster.local/ns/demo/sa/a', ''),
)
const account = fc.record({ namespace: name, serviceAccount: fc.constantFrom('a', 'b') })
const port = fc.constantFrom(0, 80, 8080, 65_535)
const some = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 2 })
const match: fc.Arbitrary<PolicyMatch> = fc.record(
  {
    namespaces: some(pattern(name)),
    notNamespaces: some(pattern(name)),
    serviceAccounts: some(account),
    notServiceAccounts: some(account),
    principals: some(principals),
    notPrincipals: some(principals),
    sourceIps: some(block),
    notSourceIps: some(block),
    destinationIps: some(block),
    notDestinationIps: some(block),
    destinationPorts: some(port),
    notDestinationPorts: some(port),
  },
  { requiredKeys: [] },
)
const policy: fc.Arbitrary<Policy> = fc.record({
  name: fc.constantFrom('p', 'q', 'r', 's'),
  namespace: fc.constantFrom('demo', 'other', 'istio-system'),
  scope: fc.constantFrom('Global', 'Namespace', 'WorkloadSelector'),
  action: fc.constantFrom('Allow', 'Deny'),
  rules: fc.array(fc.array(fc.array(match, { maxLength: 2 }), { maxLength: 2 }), { maxLength: 2 }),
  dryRun: fc.boolean(),
})
const connection: fc.Arbitrary<PolicyConnection> = fc.record({
  identity: fc.option(
    fc.record({
      trustDomain: fc.constantFrom('cluster.local', 'elsewhere'),
      namespace: fc.constantFrom('demo', 'other'),
      serviceAccount: fc.constantFrom('a', 'b'),
    }),
    { nil: undefined },
  ),
  sourceIp: ip,
  destinationIp: ip,
  destinationPort: port,
})

const workload = mesh(
  'workloads: [{ uid: w, name: w, namespace: demo, authorizationPolicies: [istio-system/p, demo/q, other/r, other/gone] }]',
).workloads.get('w')!

test('the policies of a workload say what the table of the fact sheet says, whatever they are', () => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(
      fc.uniqueArray(policy, { maxLength: 5, selector: (p) => `${p.namespace}/${p.name}` }),
      fc.array(connection, { minLength: 1, maxLength: 8 }),
      (policies, connections) => {
        const state = new MeshState()
        state.apply({ workloads: [workload], policies })
        for (const c of connections) {
          const says = authorize(state, workload, c)
          const verdict = says === undefined ? 'allowed' : says.startsWith('explicitly denied by: ') ? 'denied' : 'none allowed'
          expect(verdict).toBe(naive(policies, workload, c))
          seen.add(verdict)
        }
      },
    ),
    { numRuns: 3000 },
  )
  expect([...seen].sort()).toEqual(['allowed', 'denied', 'none allowed'])
})
