import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Observation } from '../../evidence/observation.ts'
import { parseIptablesSave, ruleObservations } from '../../evidence/parse/iptables-save.ts'
import type { TopologyRecord } from '../../evidence/topology-record.ts'
import { audit } from './state.ts'

// From what upstream's own parts left in a pod (the goldens), to what the audit says of it.
const golden = (folder: string, name: string) => readFileSync(join(import.meta.dirname, '../../run/fixtures', folder, name), 'utf8')

const pod = (name: string, more: object = {}) => ({
  ...{ name, namespace: 'demo', node: 'one', uid: name, ip: '10.244.1.118', app: 'httpbin', serviceAccount: name, enrolled: true },
  ...more,
})
const topologyOf = (...pods: ReturnType<typeof pod>[]) =>
  ({ name: 't', nodes: [{ name: 'one', address: '10.0.0.1' }], pods, services: [], proxies: [] }) as unknown as TopologyRecord

const releases = {
  today: { folder: 'golden-inpod', set: 'istio-inpod-probes-v4', families: ['ip', 'ip6'] },
  '1.21': { folder: 'golden-inpod-1.21', set: 'istio-inpod-probes', families: ['ip'] },
} as const
type Release = keyof typeof releases

/** The state of an enrolled pod and of its node. @param change of the pod's dump */
function world(release: Release, change: (dump: string) => string = (dump) => dump): Observation[] {
  const { folder, set, families } = releases[release]
  const inPod = { node: 'one', netns: 'demo.httpbin', snapshot: 'before' } as const
  const onNode = { ...inPod, netns: 'node' }
  const dumps = { ip: change(golden(folder, 'pod-iptables-save.txt')), ip6: golden(folder, 'pod-ip6tables-save.txt') }
  const rules = (['ip', 'ip6'] as const).flatMap((family) =>
    ruleObservations(parseIptablesSave(dumps[family], 'f'), 'f', { ...inPod, family }),
  )
  const state = [
    ...families.flatMap((family) => [
      { kind: 'policy-rule', ...inPod, family, line: '32764: from all fwmark 0x111/0xfff lookup 100' },
      { kind: 'route', ...inPod, family, line: 'local default dev lo table 100 scope host' },
    ]),
    ...['*:15001', '*:15006', '*:15008', '127.0.0.1:15053', '[::1]:15053'].map((local) => ({
      ...{ kind: 'listener', ...inPod, protocol: 'tcp', local, mark: 0x539 },
    })),
    {
      ...{ kind: 'rule', ...onNode, family: 'ip', table: 'nat', chain: 'ISTIO_POSTRT', position: 0, packets: 0, bytes: 0 },
      rule: `-A ISTIO_POSTRT -p tcp -m owner --socket-exists -m set --match-set ${set} dst -j SNAT --to-source 169.254.7.127`,
    },
    { kind: 'set-member', ...onNode, family: 'ip', set, line: '10.244.1.118 comment "httpbin"' },
  ]
  return [...rules, ...(state.map((o, i) => ({ ref: `s#L${i}`, ...o })) as unknown as Observation[])]
}
const drift = (release: Release, observations: readonly Observation[], ...pods: ReturnType<typeof pod>[]) =>
  audit(observations, topologyOf(...(pods.length > 0 ? pods : [pod('httpbin')])), 'before', release).map(({ what }) => what)

describe.for(Object.keys(releases) as Release[])('release %s', (release) => {
  test("finds nothing in what upstream's parts leave", () => {
    expect(drift(release, world(release))).toEqual([])
  })

  test('tells each line that is gone, turned or too many, in its chain', () => {
    for (const line of golden(releases[release].folder, 'pod-iptables-save.txt').match(/^-A .*$/gm) ?? []) {
      const chain = line.split(' ')[1]!
      const told = (change: (dump: string) => string) => drift(release, world(release, change)).join()
      expect(
        told((dump) => dump.replace(`${line}\n`, '')),
        line,
      ).toContain(`ip `)
      expect(
        told((dump) => dump.replace(line, `${line} -m altered`)),
        line,
      ).toContain(`${chain}: lacks`)
      if (chain.startsWith('ISTIO_'))
        expect(
          told((dump) => dump.replace(line, `${line}\n${line}`)),
          line,
        ).toContain(chain)
    }
  })

  test('tells every other thing that is not there', () => {
    const all = world(release)
    for (const gone of all.filter((o) => o.kind !== 'rule' || o.netns === 'node'))
      expect(
        drift(
          release,
          all.filter((o) => o !== gone),
        ),
        gone.ref,
      ).toHaveLength(1)
  })

  test('tells an unmarked listener, a set of the other release, and an address that is nobody’s', () => {
    const changed = world(release).map((o) => (o.kind === 'listener' && o.local === '*:15008' ? { ...o, mark: 0 } : o))
    expect(drift(release, changed)).toEqual(['the listener on *:15008 has mark 0x0'])
    const member = world(release).find((o) => o.kind === 'set-member')!
    const other = releases[release === 'today' ? '1.21' : 'today'].set
    expect(drift(release, [...world(release), { ...member, set: other } as Observation])).toEqual([`there is a set ${other}`])
    const stale = { ...member, line: '10.244.1.9 comment "gone"' } as Observation
    expect(drift(release, [...world(release), stale])).toHaveLength(1)
  })

  test('says nothing of pods outside the mesh', () => {
    expect(drift(release, world(release), pod('httpbin'), pod('plain', { enrolled: false, ip: '10.244.1.9' }))).toEqual([])
  })
})

test('a pod that opted out of DNS capture has no rule for it; to 1.21 none can', () => {
  const optedOut = pod('httpbin', { dnsUncaptured: true })
  const without = (dump: string) => dump.replace(/^\*raw[\s\S]*?COMMIT\n/m, '').replace(/^.*--dport 53 .*\n/gm, '')
  expect(drift('today', world('today', without))).not.toEqual([])
  expect(drift('1.21', world('1.21'), optedOut)).toEqual([])
  const v4 = drift('today', world('today', without), optedOut).filter((what) => what.startsWith('ip '))
  expect(v4).toEqual([])
  expect(drift('today', world('today'), optedOut).join()).toContain('raw ISTIO_OUTPUT: has')
})
