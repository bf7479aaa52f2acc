import type { Observation } from '../../evidence/observation.ts'
import type { Audit, Drift } from '../state.ts'
import { type ExpectedState, expectedStates, isProbeSet } from './expected-state.ts'

// Goldens pod-ip-rule-route, pod-listen, node-host-rules-ipset.
const nodeRule = (set: string) =>
  `-A ISTIO_POSTRT -p tcp -m owner --socket-exists -m set --match-set ${set} dst -j SNAT --to-source 169.254.7.127`
const policyRule = '32764: from all fwmark 0x111/0xfff lookup 100'
const localRoute = 'local default dev lo table 100'
const listeners = ['*:15001', '*:15006', '*:15008', '127.0.0.1:15053', '[::1]:15053']
const PROXY_MARK = 0x539

/** In-pod redirection, DNS capture on but where a pod opted out. */
export const audit: Audit = (observations, topology, snapshot, release) => {
  const expected = expectedStates[release]!
  const here = observations.filter((o) => 'snapshot' in o && o.snapshot === snapshot)
  const at = (node: string, netns: string) => here.filter((o) => o.node === node && o.netns === netns)
  return [
    ...topology.pods
      .filter((p) => p.enrolled)
      .flatMap((p) =>
        podDrift(expected, at(p.node, `${p.namespace}.${p.name}`), `${p.node}/${p.namespace}.${p.name}`, p.dnsUncaptured !== true),
      ),
    ...topology.nodes.flatMap((n) =>
      nodeDrift(
        expected,
        at(n.name, 'node'),
        `${n.name}/node`,
        topology.pods.filter((p) => p.enrolled && p.node === n.name).map((p) => p.ip),
      ),
    ),
  ]
}

/** Without DNS capture there is no raw table, and nat has no rule for port 53. */
const isForDns = (place: string, rule: string) => place.startsWith('raw ') || rule.includes('--dport 53 ')

function podDrift({ rules, routed, podSettings }: ExpectedState, state: readonly Observation[], where: string, dns: boolean): Drift[] {
  const drift: Drift[] = []
  for (const family of ['ip', 'ip6'] as const) {
    const mine = state.filter((o) => o.kind === 'rule').filter((o) => o.family === family)
    // Also where this release has nothing: what another one left there.
    const istio = mine.filter((o) => o.rule.includes('ISTIO_')).map((o) => `${o.table} ${o.chain}`)
    const places = new Set([...Object.keys(rules[family]), ...istio])
    for (const place of places) {
      const all = rules[family][place] ?? []
      const expected = dns || !podSettings ? all : all.filter((rule) => !isForDns(place, rule))
      const seen = mine.filter((o) => `${o.table} ${o.chain}` === place).map((o) => o.rule)
      if (seen.join('\n') !== expected.join('\n')) drift.push({ where, what: `${family} ${place}: ${difference(expected, seen)}` })
    }
    const there = [
      ['policy rule', policyRule, state.some((o) => o.kind === 'policy-rule' && o.family === family && o.line === policyRule)],
      ['route', localRoute, state.some((o) => o.kind === 'route' && o.family === family && o.line.startsWith(localRoute))],
    ] as const
    for (const [what, line, seen] of there)
      if (seen !== routed.includes(family)) drift.push({ where, what: `${family}: ${seen ? 'has' : 'no'} ${what} "${line}"` })
  }
  for (const local of listeners) {
    const listener = state.find((o) => o.kind === 'listener' && o.protocol === 'tcp' && o.local === local)
    if (listener?.kind !== 'listener') drift.push({ where, what: `nobody listens on ${local}` })
    else if (listener.mark !== PROXY_MARK) drift.push({ where, what: `the listener on ${local} has mark 0x${listener.mark.toString(16)}` })
  }
  return drift
}

function nodeDrift({ sets }: ExpectedState, state: readonly Observation[], where: string, addresses: readonly string[]): Drift[] {
  const drift: Drift[] = []
  const [set = ''] = sets
  const rule = nodeRule(set)
  if (!state.some((o) => o.kind === 'rule' && o.family === 'ip' && o.table === 'nat' && o.rule === rule))
    drift.push({ where, what: `no rule "${rule}"` })
  const named = state.flatMap((o) => (o.kind === 'set-member' && o.set && isProbeSet(o.set) ? [o.set] : []))
  for (const other of new Set(named)) if (!sets.includes(other)) drift.push({ where, what: `there is a set ${other}` })
  const members = state.flatMap((o) => (o.kind === 'set-member' && o.set === set ? [o.line.split(' ')[0]!] : []))
  for (const a of addresses) if (!members.includes(a)) drift.push({ where, what: `set ${set} lacks ${a}` })
  for (const m of members)
    if (!addresses.includes(m)) drift.push({ where, what: `set ${set} has ${m}, which no enrolled pod of this node has` })
  return drift
}

function difference(expected: readonly string[], seen: readonly string[]): string {
  const lacking = expected.filter((r) => !seen.includes(r)).map((r) => `lacks "${r}"`)
  const extra = seen.filter((r) => !expected.includes(r)).map((r) => `has "${r}"`)
  return [...lacking, ...extra].join(', ') || 'another order'
}
