import { expect, test } from 'vitest'
import { convertAuthorizationPolicy } from '../../discovery/convert/authorization.ts'
import { PeerAuthentications, staticStrict } from '../../discovery/convert/peer-authentication.ts'
import type { AuthorizationPolicy, PeerAuthentication } from '../../discovery/kubernetes/objects.ts'
import { Authorization, type AuthorizationInit } from '../../lib/xds/messages.ts'
import { authorize, type PolicyConnection } from '../rbac.ts'
import { parseLocalState } from '../state/local-schema.ts'
import { MeshState } from '../state/store.ts'
import { policyFrom } from './policy.ts'

// From what is written in Kubernetes to who gets in: the control plane's conversion, the wire, and ztunnel's decision in one.

const root = 'istio-system'
const { workloads } = parseLocalState('workloads: [{ uid: w, name: w, namespace: demo }]', 'test')

/** Whether each connection gets in to workload `w` (namespace demo, label app=w) under these policies. */
function admitted(told: readonly AuthorizationInit[], names: readonly string[], connections: readonly PolicyConnection[]): boolean[] {
  const state = new MeshState()
  const policies = told.map((init) => policyFrom(Authorization.decode(Authorization.encode(init))))
  const own = { ...workloads[0]!, authorizationPolicies: names }
  state.replace({ workloads: [own], services: [], policies })
  return connections.map((c) => authorize(state, own, c) === undefined)
}

const by = (serviceAccount: string, namespace = 'demo', more: Partial<PolicyConnection> = {}): PolicyConnection => ({
  identity: { trustDomain: 'cluster.local', namespace, serviceAccount },
  sourceIp: '10.0.1.1',
  destinationIp: '10.0.2.2',
  destinationPort: 80,
  ...more,
})
const plain = (more: Partial<PolicyConnection> = {}): PolicyConnection => ({ ...by('', '', more), identity: undefined })

/** a of demo, b of demo, a of other, somebody without an identity; then a from another network, to another port, at another address. */
const callers = [
  ...[by('a'), by('b'), by('a', 'other'), plain()],
  ...[by('a', 'demo', { sourceIp: '192.0.2.1' }), by('a', 'demo', { destinationPort: 81 }), by('a', 'demo', { destinationIp: '10.0.2.3' })],
]
const letters = (yes: readonly boolean[]) => yes.map((y, i) => (y ? 'abopnqr'[i] : '-')).join('')

const from = (source: object) => [{ from: [{ source }] }]
const to = (operation: object) => [{ to: [{ operation }] }]
const when = (key: string, list: object) => [{ when: [{ key, ...list }] }]

test.each<[rules: object[], matched: string]>([
  [from({ principals: ['cluster.local/ns/demo/sa/a'] }), 'a---nqr'],
  [from({ notPrincipals: ['cluster.local/ns/demo/sa/a'] }), '-bop---'],
  [from({ principals: ['*'] }), 'abo-nqr'],
  [from({ notPrincipals: ['*'] }), '---p---'],
  [from({ principals: ['*/sa/a'], notPrincipals: ['*/ns/other/*'] }), 'a-o-nqr'],
  [from({ namespaces: ['demo'] }), 'ab--nqr'],
  [from({ notNamespaces: ['demo'] }), '--op---'],
  [from({ serviceAccounts: ['a'] }), 'a---nqr'],
  [from({ notServiceAccounts: ['demo/a', 'other/a'] }), '-b-p---'],
  [from({ ipBlocks: ['10.0.0.0/8'] }), 'abop-qr'],
  [from({ notIpBlocks: ['10.0.0.0/8'] }), '----n--'],
  [to({ ports: ['80'] }), 'abopn-r'],
  [to({ notPorts: ['80'] }), '-----q-'],
  [when('source.ip', { notValues: ['192.0.2.0/24'] }), 'abop-qr'],
  [when('source.namespace', { values: ['other'] }), '--o----'],
  [when('source.principal', { notValues: ['*/sa/b'] }), 'a-opnqr'],
  [when('destination.port', { values: ['80'], notValues: ['81'] }), 'abopn-r'],
  [when('destination.ip', { notValues: ['10.0.2.2'] }), '------r'],
  // Sources or operations are alternatives, both and conditions must hold; rules are alternatives.
  [[{ from: [{ source: { namespaces: ['other'] } }, { source: { ipBlocks: ['192.0.2.1'] } }] }], '--o-n--'],
  [[{ from: [{ source: { namespaces: ['demo'] } }], to: [{ operation: { ports: ['81'] } }] }], '-----q-'],
  [[...from({ serviceAccounts: ['b'] }), ...to({ ports: ['81'] })], '-b---q-'],
  [[{}], 'abopnqr'],
  [[], '-------'],
])('rules %j match %s', (rules, matched) => {
  const policy = (action: string): AuthorizationPolicy => ({ metadata: { name: 'p', namespace: 'demo' }, spec: { action, rules } })
  const told = (action: string) => [convertAuthorizationPolicy(policy(action), root)!]
  expect(letters(admitted(told('ALLOW'), [], callers))).toBe(matched)
  expect(letters(admitted(told('DENY'), [], callers))).toBe([...'abopnqr'].map((c) => (matched.includes(c) ? '-' : c)).join(''))
  // Deny wins.
  expect(letters(admitted([...told('ALLOW'), { ...told('DENY')[0]!, name: 'd' }], [], callers))).toBe('-------')
})

const ports = [80, 81, 82]
const peers = [
  ...ports.map((destinationPort) => plain({ destinationPort })),
  ...ports.map((destinationPort) => by('a', 'demo', { destinationPort })),
]
const selector = { matchLabels: { app: 'w' } }
const auth = (name: string, namespace: string, spec: NonNullable<PeerAuthentication['spec']>): PeerAuthentication => ({
  metadata: { name, namespace, creationTimestamp: '2026-01-01' },
  spec,
})
const mode = (m: string) => ({ mtls: { mode: m } })

// Plaintext on 80, 81 and 82; mTLS is taken everywhere.
test.each<[what: string, all: PeerAuthentication[], plaintext: string]>([
  ['nothing said', [], '80 81 82'],
  ['STRICT in the mesh', [auth('m', root, mode('STRICT'))], ''],
  ['STRICT in the namespace', [auth('n', 'demo', mode('STRICT'))], ''],
  ['STRICT for the workload', [auth('w', 'demo', { selector, ...mode('STRICT') })], ''],
  ['STRICT for another workload', [auth('w', 'demo', { selector: { matchLabels: { app: 'x' } }, ...mode('STRICT') })], '80 81 82'],
  [
    'PERMISSIVE in the namespace under STRICT in the mesh',
    [auth('m', root, mode('STRICT')), auth('n', 'demo', mode('PERMISSIVE'))],
    '80 81 82',
  ],
  ['STRICT but for one port', [auth('w', 'demo', { selector, ...mode('STRICT'), portLevelMtls: { 81: { mode: 'PERMISSIVE' } } })], '81'],
  [
    'PERMISSIVE but for one port',
    [auth('w', 'demo', { selector, ...mode('PERMISSIVE'), portLevelMtls: { 81: { mode: 'STRICT' } } })],
    '80 82',
  ],
  [
    'one port excepted under STRICT in the namespace',
    [auth('n', 'demo', mode('STRICT')), auth('w', 'demo', { selector, portLevelMtls: { 82: { mode: 'DISABLE' } } })],
    '82',
  ],
])('PeerAuthentication: %s', (_, all, plaintext) => {
  const decided = new PeerAuthentications(all, 'demo', root)
  const let_in = admitted([staticStrict(root), ...decided.converted()], decided.policiesFor({ app: 'w' }), peers)
  expect(ports.filter((_p, i) => let_in[i]).join(' ')).toBe(plaintext)
  expect(let_in.slice(ports.length)).toEqual([true, true, true])
})
