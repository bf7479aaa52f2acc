import { expect, test } from 'vitest'
import { authorize, matches, type PolicyConnection } from './rbac.ts'
import { parseLocalState } from './state/local-schema.ts'
import { mesh } from './testbed/mesh.ts'

const client: PolicyConnection = {
  identity: { trustDomain: 'cluster.local', namespace: 'demo', serviceAccount: 'sleep' },
  sourceIp: '10.0.0.1',
  destinationIp: '10.0.0.2',
  destinationPort: 8080,
}
const plaintext: PolicyConnection = { ...client, identity: undefined }
const six: PolicyConnection = { ...client, sourceIp: 'fd00::1', destinationIp: 'fd00::2' }

const policy = (rules: string) =>
  parseLocalState(`policies: [{ name: p, namespace: demo, scope: Namespace, action: Allow, rules: ${rules} }]`, 't').policies[0]!

// Rules → whether they match the mesh client, and the same without an identity.
test.each([
  ['[]', false, false],
  ['[[]]', true, true],
  ['[[[]]]', true, true],
  ['[[[{}]]]', false, false],
  ['[[[{}, { destinationPorts: [8080] }]]]', true, true],
  ['[[[{ destinationPorts: [8080] }]]]', true, true],
  ['[[[{ destinationPorts: [80, 8080] }]]]', true, true],
  ['[[[{ destinationPorts: [80] }]]]', false, false],
  ['[[[{ notDestinationPorts: [80] }]]]', true, true],
  ['[[[{ notDestinationPorts: [8080] }]]]', false, false],
  ['[[[{ destinationPorts: [8080], notDestinationPorts: [8080] }]]]', false, false],
  ['[[[{ sourceIps: [10.0.0.0/24] }]]]', true, true],
  ['[[[{ sourceIps: [10.0.0.1] }]]]', true, true],
  ['[[[{ sourceIps: [10.0.1.0/24, "fd00::/8"] }]]]', false, false],
  ['[[[{ notSourceIps: [10.0.0.0/24] }]]]', false, false],
  ['[[[{ destinationIps: [10.0.0.2/32] }]]]', true, true],
  ['[[[{ notDestinationIps: [10.0.0.2/32] }]]]', false, false],
  ['[[[{ namespaces: [{ Exact: demo }] }]]]', true, false],
  ['[[[{ namespaces: [{ Prefix: de }] }]]]', true, false],
  ['[[[{ namespaces: [{ Suffix: mo }] }]]]', true, false],
  ['[[[{ namespaces: [Presence] }]]]', true, false],
  ['[[[{ notNamespaces: [{ Exact: demo }] }]]]', false, true],
  ['[[[{ principals: [{ Exact: cluster.local/ns/demo/sa/sleep }] }]]]', true, false],
  ['[[[{ principals: [{ Exact: spiffe://cluster.local/ns/demo/sa/sleep }] }]]]', false, false],
  ['[[[{ principals: [{ Prefix: cluster.local/ns/demo/ }] }]]]', true, false],
  ['[[[{ principals: [{ Suffix: /sa/sleep }] }]]]', true, false],
  ['[[[{ principals: [{ Suffix: /sa/other }] }]]]', false, false],
  ['[[[{ principals: [{ Presence: {} }] }]]]', true, false],
  ['[[[{ notPrincipals: [Presence] }]]]', false, true],
  ['[[[{ notPrincipals: [{ Exact: cluster.local/ns/demo/sa/other }] }]]]', true, true],
  ['[[[{ serviceAccounts: [{ namespace: demo, serviceAccount: sleep }] }]]]', true, false],
  ['[[[{ serviceAccounts: [{ namespace: other, serviceAccount: sleep }] }]]]', false, false],
  ['[[[{ notServiceAccounts: [{ namespace: demo, serviceAccount: sleep }] }]]]', false, true],
  // AND over kinds, AND over clauses, OR over matches, OR over rules.
  ['[[[{ destinationPorts: [8080], sourceIps: [10.9.9.9] }]]]', false, false],
  ['[[[{ destinationPorts: [8080] }], [{ sourceIps: [10.9.9.9] }]]]', false, false],
  ['[[[{ destinationPorts: [8080] }], [{ sourceIps: [10.0.0.1] }]]]', true, true],
  ['[[[{ destinationPorts: [1] }, { sourceIps: [10.0.0.1] }]]]', true, true],
  ['[[[{ destinationPorts: [1] }]], [[{ destinationPorts: [8080] }]]]', true, true],
])('rules %s', (rules, withIdentity, without) => {
  expect(matches(policy(rules), client)).toBe(withIdentity)
  expect(matches(policy(rules), plaintext)).toBe(without)
})

test('IPv6 addresses match IPv6 blocks only', () => {
  expect(matches(policy('[[[{ sourceIps: ["fd00::/64"] }]]]'), six)).toBe(true)
  expect(matches(policy('[[[{ sourceIps: [10.0.0.0/8] }]]]'), six)).toBe(false)
  expect(matches(policy('[[[{ sourceIps: ["::/0"] }]]]'), client)).toBe(false)
  expect(matches(policy('[[[{ sourceIps: [0.0.0.0/0] }]]]'), six)).toBe(false)
})

const all = '[[[{ destinationPorts: [8080] }]]]'
const none = '[[[{ destinationPorts: [1] }]]]'
const line = (name: string, action: string, rules: string, rest = 'namespace: demo, scope: Namespace') =>
  `{ name: ${name}, action: ${action}, rules: ${rules}, ${rest} }`
const noneAllowed = 'allow policies exist, but none allowed'

test.each([
  ['no policy', [], undefined],
  ['allow that matches', [line('a', 'Allow', all)], undefined],
  ['allow that does not', [line('a', 'Allow', none)], noneAllowed],
  ['allow without rules denies all', [line('a', 'Allow', '[]')], noneAllowed],
  ['one of two allows', [line('a', 'Allow', none), line('b', 'Allow', all)], undefined],
  ['deny that matches', [line('d', 'Deny', all)], 'explicitly denied by: demo/d'],
  ['deny that does not, and no allow', [line('d', 'Deny', none)], undefined],
  ['deny wins over allow', [line('a', 'Allow', all), line('d', 'Deny', all)], 'explicitly denied by: demo/d'],
  [
    'dry run counts for nothing',
    [
      line('d', 'Deny', all, 'namespace: demo, scope: Namespace, dryRun: true'),
      line('a', 'Allow', none, 'namespace: demo, scope: Namespace, dryRun: true'),
    ],
    undefined,
  ],
  ['another namespace', [line('d', 'Deny', all, 'namespace: other, scope: Namespace')], undefined],
  ['global', [line('d', 'Deny', all, 'namespace: istio-system, scope: Global')], 'explicitly denied by: istio-system/d'],
  [
    'selector that names this workload',
    [line('strict', 'Deny', all, 'namespace: istio-system, scope: WorkloadSelector')],
    'explicitly denied by: istio-system/strict',
  ],
  ['selector that does not', [line('lax', 'Deny', all, 'namespace: istio-system, scope: WorkloadSelector')], undefined],
])('%s', (_name, policies, denial) => {
  const state = mesh(`
workloads: [{ uid: w, name: w, namespace: demo, authorizationPolicies: [istio-system/strict, istio-system/gone] }]
policies: [${policies.join(', ')}]`)
  const unknown: string[] = []
  expect(authorize(state, state.workloads.get('w')!, client, (name) => unknown.push(name))).toBe(denial)
  expect(unknown).toContain('istio-system/gone')
})

// What istiod makes of PeerAuthentication (fact sheet: in-pod mode, 4.7): who may call which port.
const strict =
  '{ name: istio_converted_static_strict, namespace: istio-system, scope: WorkloadSelector, action: Deny, rules: [[[{ notPrincipals: [Presence] }]]] }'
const converted = (rules: string) =>
  `{ name: converted_peer_authentication_x, namespace: demo, scope: WorkloadSelector, action: Deny, rules: ${rules} }`
const strictBut9000 = converted('[[[{ notPrincipals: [Presence] }], [{ notDestinationPorts: [9000] }]]]')
const permissiveBut9000 = converted('[[[{ notPrincipals: [Presence] }], [{ destinationPorts: [9000] }]]]')

test.each([
  // mode, policies, plaintext on 8080, plaintext on 9000, mTLS on 8080, mTLS on 9000
  ['unset or permissive', [], true, true, true, true],
  ['strict', [strict], false, false, true, true],
  ['strict, port 9000 permissive', [strictBut9000], false, true, true, true],
  ['permissive, port 9000 strict', [permissiveBut9000], true, false, true, true],
  ['strict and a port-level mix: the static policy denies what the mix admits', [strict, strictBut9000], false, false, true, true],
])('PeerAuthentication %s', (_mode, policies, ...admitted) => {
  const state = mesh(`
workloads: [{ uid: w, name: w, namespace: demo, authorizationPolicies: [istio-system/istio_converted_static_strict, demo/converted_peer_authentication_x] }]
policies: [${policies.join(', ')}]`)
  const asked = [plaintext, client].flatMap((c) => [8080, 9000].map((destinationPort) => ({ ...c, destinationPort })))
  expect(asked.map((c) => authorize(state, state.workloads.get('w')!, c) === undefined)).toEqual(admitted)
})

test('a policy that changes its scope covers the new workloads and leaves the old', () => {
  const state = mesh(`
workloads: [{ uid: w, name: w, namespace: demo }, { uid: o, name: o, namespace: other }]
policies: [${line('d', 'Deny', all)}]`)
  const denied = () => ['w', 'o'].filter((uid) => authorize(state, state.workloads.get(uid)!, client) !== undefined)
  expect(denied()).toEqual(['w'])
  const put = (rest: string) => state.apply(parseLocalState(`policies: [${line('d', 'Deny', all, rest)}]`, 't'))
  put('namespace: demo, scope: Global')
  expect(denied()).toEqual(['w', 'o'])
  put('namespace: demo, scope: WorkloadSelector')
  expect(denied()).toEqual([])
  put('namespace: demo, scope: Namespace')
  state.apply({ removed: { policies: ['demo/d'] } })
  expect(denied()).toEqual([])
})
