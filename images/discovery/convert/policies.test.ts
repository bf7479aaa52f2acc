import { describe, expect, test } from 'vitest'
import type { AuthorizationPolicy, PeerAuthentication } from '../kubernetes/objects.ts'
import { convertAuthorizationPolicy } from './authorization.ts'
import { PeerAuthentications, staticStrict } from './peer-authentication.ts'

const convert = (spec: AuthorizationPolicy['spec'], namespace = 'demo', annotations = {}) =>
  convertAuthorizationPolicy({ metadata: { name: 'p', namespace, annotations }, ...(spec ? { spec } : {}) }, 'istio-system')
const rulesOf = (rule: object, action = 'ALLOW') => convert({ action, rules: [rule] })?.rules
/** Rules as clauses of matches, without the wrapping. */
const plain = (rules: ReturnType<typeof rulesOf>) => rules?.map((r) => r.clauses?.map((c) => c.matches))

describe('an AuthorizationPolicy', () => {
  test("holds by selector, in its namespace, or everywhere if it is in the mesh's", () => {
    expect(convert({ selector: { matchLabels: { a: 'b' } } })?.scope).toBe('WORKLOAD_SELECTOR')
    expect(convert({})).toEqual({ name: 'p', namespace: 'demo', scope: 'NAMESPACE', action: 'ALLOW', rules: [] })
    expect(convert({}, 'istio-system')?.scope).toBe('GLOBAL')
  })

  test('that a waypoint, another service or nobody decides is not sent', () => {
    for (const spec of [{ action: 'CUSTOM' }, { action: 'AUDIT' }, { action: 'toString' }, { targetRefs: [{}] }, { targetRef: {} }])
      expect(convert(spec)).toBeUndefined()
    expect(convert({}, 'demo', { 'istio.io/dry-run': 'true' })).toBeUndefined()
  })

  test('every layer 4 field and its negation', () => {
    const source = {
      principals: ['cluster.local/ns/demo/sa/a'],
      notPrincipals: ['*/sa/b'],
      namespaces: ['demo*'],
      notNamespaces: ['*'],
      serviceAccounts: ['a', 'other/b'],
      notServiceAccounts: ['c'],
      ipBlocks: ['10.0.0.0/8', '1.2.3.4'],
      notIpBlocks: ['fd00::1'],
    }
    expect(plain(rulesOf({ from: [{ source }], to: [{ operation: { ports: ['80'], notPorts: ['9000', '9001'] } }] }))).toEqual([
      [
        [{ destinationPorts: [80], notDestinationPorts: [9000, 9001] }],
        [
          {
            principals: [{ exact: 'cluster.local/ns/demo/sa/a' }],
            notPrincipals: [{ suffix: '/sa/b' }],
            namespaces: [{ prefix: 'demo' }],
            notNamespaces: [{ presence: {} }],
            serviceAccounts: [
              { namespace: 'demo', serviceAccount: 'a' },
              { namespace: 'other', serviceAccount: 'b' },
            ],
            notServiceAccounts: [{ namespace: 'demo', serviceAccount: 'c' }],
            sourceIps: [
              { address: Uint8Array.of(10, 0, 0, 0), length: 8 },
              { address: Uint8Array.of(1, 2, 3, 4), length: 32 },
            ],
            notSourceIps: [{ address: Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), length: 128 }],
          },
        ],
      ],
    ])
  })

  test('several sources are alternatives; conditions are clauses of their own', () => {
    const rule = {
      from: [{ source: { namespaces: ['a'] } }, { source: { principals: ['b'] } }],
      when: [
        { key: 'destination.port', values: ['1'], notValues: ['2'] },
        { key: 'destination.ip', values: ['10.0.0.1'] },
      ],
    }
    expect(plain(rulesOf(rule))).toEqual([
      [
        [{ namespaces: [{ exact: 'a' }] }, { principals: [{ exact: 'b' }] }],
        [{ destinationPorts: [1], notDestinationPorts: [2] }],
        [{ destinationIps: [{ address: Uint8Array.of(10, 0, 0, 1), length: 32 }] }],
      ],
    ])
  })

  test('an empty rule matches everything: it has no clauses', () => {
    expect(rulesOf({})).toEqual([{ clauses: [] }])
  })

  const namespaceOnly = [[[{ namespaces: [{ exact: 'a' }] }]]]
  test.each([
    ['a path', { to: [{ operation: { paths: ['/x'], ports: ['80'] } }] }, [[[{ destinationPorts: [80] }]]]],
    ['a method alone', { to: [{ operation: { methods: ['GET'] } }] }, [[]]],
    ['a request principal', { from: [{ source: { requestPrincipals: ['*'], namespaces: ['a'] } }] }, namespaceOnly],
    ['a header', { when: [{ key: 'request.headers[x]', values: ['y'] }] }, [[]]],
    ['a key that no object should have', { when: [{ key: 'toString', values: ['y'] }] }, [[]]],
    ['a port that is none', { to: [{ operation: { ports: ['http'] } }] }, [[]]],
    ['a block that is none', { from: [{ source: { ipBlocks: ['10.0.0.0/99'], namespaces: ['a'] } }] }, namespaceOnly],
    ['a service account that is none', { from: [{ source: { serviceAccounts: ['a/b/c'], namespaces: ['a'] } }] }, namespaceOnly],
    ['an unconditional alternative', { to: [{ operation: { paths: ['/x'] } }, { operation: { ports: ['80'] } }] }, [[]]],
  ])('%s: an ALLOW rule with it is dropped, a DENY rule loses the condition', (_, rule, denied) => {
    expect(rulesOf(rule, 'ALLOW')).toEqual([])
    expect(plain(rulesOf(rule, 'DENY'))).toEqual(denied)
  })
})

describe('PeerAuthentication', () => {
  type Spec = NonNullable<PeerAuthentication['spec']>
  const peer = (name: string, namespace: string, spec: Spec, creationTimestamp = '2026-01-01'): PeerAuthentication => ({
    metadata: { name, namespace, creationTimestamp },
    spec,
  })
  const mode = (m: string) => ({ mtls: { mode: m } })
  const selector = { matchLabels: { app: 'a' } }
  const strict = 'istio-system/istio_converted_static_strict'
  const own = 'demo/converted_peer_authentication_own'
  const of = (...all: PeerAuthentication[]) => new PeerAuthentications(all, 'demo', 'istio-system')
  const policies = (...all: PeerAuthentication[]) => of(...all).policiesFor({ app: 'a', b: 'c' })

  test('the static policy denies whoever shows no identity', () => {
    expect(staticStrict('istio-system')).toEqual({
      name: 'istio_converted_static_strict',
      namespace: 'istio-system',
      scope: 'WORKLOAD_SELECTOR',
      action: 'DENY',
      rules: [{ clauses: [{ matches: [{ notPrincipals: [{ presence: {} }] }] }] }],
    })
  })

  const mesh = (m: string) => peer('mesh', 'istio-system', mode(m))
  const namespace = (m: string) => peer('ns', 'demo', mode(m))
  const workload = (m: string) => peer('own', 'demo', { selector, ...mode(m) })
  test.each<[string, PeerAuthentication[], string[]]>([
    ['nothing', [], []],
    ['STRICT in the mesh', [mesh('STRICT')], [strict]],
    ['PERMISSIVE in the mesh', [mesh('PERMISSIVE')], []],
    ['PERMISSIVE in the namespace over STRICT in the mesh', [mesh('STRICT'), namespace('PERMISSIVE')], []],
    ['nothing said in the namespace under STRICT in the mesh', [mesh('STRICT'), peer('ns', 'demo', {})], [strict]],
    ['DISABLE in the namespace over STRICT in the mesh', [mesh('STRICT'), namespace('DISABLE')], []],
    ['STRICT for the workload over PERMISSIVE', [mesh('PERMISSIVE'), namespace('PERMISSIVE'), workload('STRICT')], [strict]],
    ['PERMISSIVE for the workload over STRICT', [mesh('STRICT'), workload('PERMISSIVE')], []],
    ['UNSET for the workload under STRICT', [namespace('STRICT'), workload('UNSET')], [strict]],
    ['for another workload', [peer('own', 'demo', { selector: { matchLabels: { app: 'z' } }, ...mode('STRICT') })], []],
    ['in another namespace', [peer('own', 'plain', mode('STRICT'))], []],
    ["by selector in the mesh's namespace: holds nowhere", [peer('own', 'istio-system', { selector, ...mode('STRICT') })], []],
    [
      'two in one place: the older counts',
      [peer('young', 'demo', mode('PERMISSIVE'), '2026-02-01'), peer('old', 'demo', mode('STRICT'), '2026-01-01')],
      [strict],
    ],
  ])('%s', (_, all, expected) => {
    expect(policies(...all)).toEqual(expected)
    expect(of(...all).converted()).toEqual([])
  })

  const noIdentity = { notPrincipals: [{ presence: {} }] }
  const ports = (modes: Record<string, string>) => Object.fromEntries(Object.entries(modes).map(([p, m]) => [p, { mode: m }]))
  const withPorts = (m: string | undefined, modes: Record<string, string>) =>
    peer('own', 'demo', { selector, ...(m ? mode(m) : {}), portLevelMtls: ports(modes) })
  test.each<[string, PeerAuthentication[], string[], object[]]>([
    [
      'STRICT but for one port: whoever has no identity is denied, except there',
      [withPorts('STRICT', { 9090: 'PERMISSIVE', 9091: 'STRICT' })],
      [own],
      [{ clauses: [{ matches: [noIdentity] }, { matches: [{ notDestinationPorts: [9090] }] }] }],
    ],
    [
      'STRICT from the mesh but for two ports',
      [mesh('STRICT'), withPorts(undefined, { 81: 'DISABLE', 80: 'PERMISSIVE' })],
      [own],
      [
        {
          clauses: [{ matches: [noIdentity] }, { matches: [{ notDestinationPorts: [80] }] }, { matches: [{ notDestinationPorts: [81] }] }],
        },
      ],
    ],
    [
      'PERMISSIVE but for two ports: a rule each',
      [withPorts('PERMISSIVE', { 80: 'STRICT', 81: 'STRICT', 82: 'PERMISSIVE' })],
      [own],
      [80, 81].map((port) => ({ clauses: [{ matches: [{ ...noIdentity, destinationPorts: [port] }] }] })),
    ],
    [
      'PERMISSIVE from the namespace over STRICT from the mesh but for one port',
      [mesh('STRICT'), namespace('PERMISSIVE'), withPorts(undefined, { 80: 'STRICT' })],
      [own],
      [{ clauses: [{ matches: [{ ...noIdentity, destinationPorts: [80] }] }] }],
    ],
  ])('%s', (_, all, expected, rules) => {
    expect(policies(...all)).toEqual(expected)
    expect(of(...all).converted()).toEqual([
      { name: 'converted_peer_authentication_own', namespace: 'demo', scope: 'WORKLOAD_SELECTOR', action: 'DENY', rules },
    ])
  })

  test.each<[string, PeerAuthentication[], string[]]>([
    ['STRICT with ports that are STRICT too', [withPorts('STRICT', { 80: 'STRICT' })], [strict]],
    ['PERMISSIVE with ports that are PERMISSIVE too', [withPorts('PERMISSIVE', { 80: 'DISABLE' })], []],
    ['a port that is none', [withPorts('PERMISSIVE', { http: 'STRICT', 70000: 'STRICT' })], []],
  ])('%s: the ports change nothing', (_, all, expected) => {
    expect(policies(...all)).toEqual(expected)
    expect(of(...all).converted()).toEqual([])
  })
})
