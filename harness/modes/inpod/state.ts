import type { Observation } from '../../evidence/observation.ts'
import type { Audit, Drift } from '../state.ts'

// Goldens pod-iptables-save, pod-ip6tables-save, pod-ip-rule-route, pod-listen, node-host-rules-ipset; facts inpod-mode 1.2.
const mangle = {
  'mangle PREROUTING': ['-A PREROUTING -j ISTIO_PRERT'],
  'mangle OUTPUT': ['-A OUTPUT -j ISTIO_OUTPUT'],
  'mangle ISTIO_OUTPUT': [
    '-A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff',
  ],
  'mangle ISTIO_PRERT': ['-A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff'],
}
const raw = {
  'raw PREROUTING': ['-A PREROUTING -j ISTIO_PRERT'],
  'raw OUTPUT': ['-A OUTPUT -j ISTIO_OUTPUT'],
  'raw ISTIO_OUTPUT': ['-A ISTIO_OUTPUT -p udp -m mark --mark 0x539/0xfff -m udp --dport 53 -j CT --zone 1'],
  'raw ISTIO_PRERT': ['-A ISTIO_PRERT -p udp -m mark ! --mark 0x539/0xfff -m udp --sport 53 -j CT --zone 1'],
}
const nat = (loopback: string, probe: string) => ({
  'nat PREROUTING': ['-A PREROUTING -j ISTIO_PRERT'],
  'nat OUTPUT': ['-A OUTPUT -j ISTIO_OUTPUT'],
  'nat ISTIO_OUTPUT': [
    `-A ISTIO_OUTPUT -d ${probe} -p tcp -m tcp -j ACCEPT`,
    '-A ISTIO_OUTPUT ! -o lo -p udp -m mark ! --mark 0x539/0xfff -m udp --dport 53 -j REDIRECT --to-ports 15053',
    `-A ISTIO_OUTPUT ! -d ${loopback} -p tcp -m tcp --dport 53 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15053`,
    '-A ISTIO_OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT',
    `-A ISTIO_OUTPUT ! -d ${loopback} -o lo -j ACCEPT`,
    `-A ISTIO_OUTPUT ! -d ${loopback} -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001`,
  ],
  'nat ISTIO_PRERT': [
    `-A ISTIO_PRERT -s ${probe} -p tcp -m tcp -j ACCEPT`,
    `-A ISTIO_PRERT ! -d ${loopback} -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006`,
  ],
})
const podRules: Record<'ip' | 'ip6', Readonly<Record<string, readonly string[]>>> = {
  ip: { ...mangle, ...raw, ...nat('127.0.0.1/32', '169.254.7.127/32') },
  ip6: { ...mangle, ...raw, ...nat('::1/128', 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff/128') },
}
const nodeRule =
  '-A ISTIO_POSTRT -p tcp -m owner --socket-exists -m set --match-set istio-inpod-probes-v4 dst -j SNAT --to-source 169.254.7.127'
const policyRule = '32764: from all fwmark 0x111/0xfff lookup 100'
const localRoute = { ip: 'local default dev lo table 100', ip6: 'local default dev lo table 100' }
const listeners = ['*:15001', '*:15006', '*:15008', '127.0.0.1:15053', '[::1]:15053']
const PROXY_MARK = 0x539

/** In-pod redirection, release `today`, DNS capture on but where a pod opted out. */
export const audit: Audit = (observations, topology, snapshot) => {
  const here = observations.filter((o) => 'snapshot' in o && o.snapshot === snapshot)
  const at = (node: string, netns: string) => here.filter((o) => o.node === node && o.netns === netns)
  return [
    ...topology.pods
      .filter((p) => p.enrolled)
      .flatMap((p) => podDrift(at(p.node, `${p.namespace}.${p.name}`), `${p.node}/${p.namespace}.${p.name}`, p.dnsUncaptured !== true)),
    ...topology.nodes.flatMap((n) =>
      nodeDrift(
        at(n.name, 'node'),
        `${n.name}/node`,
        topology.pods.filter((p) => p.enrolled && p.node === n.name).map((p) => p.ip),
      ),
    ),
  ]
}

/** Without DNS capture there is no raw table, and nat has no rule for port 53. */
const isForDns = (place: string, rule = '') => place.startsWith('raw ') || rule.includes('--dport 53 ')

function podDrift(state: readonly Observation[], where: string, dns: boolean): Drift[] {
  const drift: Drift[] = []
  for (const family of ['ip', 'ip6'] as const) {
    for (const [place, all] of Object.entries(podRules[family])) {
      const expected = dns ? all : all.filter((rule) => !isForDns(place, rule))
      const [table, chain] = place.split(' ')
      const seen = state
        .filter((o) => o.kind === 'rule' && o.family === family && o.table === table && o.chain === chain)
        .map((o) => (o as { rule: string }).rule)
      if (seen.join('\n') !== expected.join('\n')) drift.push({ where, what: `${family} ${place}: ${difference(expected, seen)}` })
    }
    if (!state.some((o) => o.kind === 'policy-rule' && o.family === family && o.line === policyRule))
      drift.push({ where, what: `${family}: no policy rule "${policyRule}"` })
    if (!state.some((o) => o.kind === 'route' && o.family === family && o.line.startsWith(localRoute[family])))
      drift.push({ where, what: `${family}: no route "${localRoute[family]}"` })
  }
  for (const local of listeners) {
    const listener = state.find((o) => o.kind === 'listener' && o.protocol === 'tcp' && o.local === local)
    if (listener?.kind !== 'listener') drift.push({ where, what: `nobody listens on ${local}` })
    else if (listener.mark !== PROXY_MARK) drift.push({ where, what: `the listener on ${local} has mark 0x${listener.mark.toString(16)}` })
  }
  return drift
}

function nodeDrift(state: readonly Observation[], where: string, addresses: readonly string[]): Drift[] {
  const drift: Drift[] = []
  if (!state.some((o) => o.kind === 'rule' && o.family === 'ip' && o.table === 'nat' && o.rule === nodeRule))
    drift.push({ where, what: `no rule "${nodeRule}"` })
  const members = state.flatMap((o) => (o.kind === 'set-member' && o.set === 'istio-inpod-probes-v4' ? [o.line.split(' ')[0]!] : []))
  for (const a of addresses) if (!members.includes(a)) drift.push({ where, what: `set istio-inpod-probes-v4 lacks ${a}` })
  for (const m of members)
    if (!addresses.includes(m)) drift.push({ where, what: `set istio-inpod-probes-v4 has ${m}, which no enrolled pod of this node has` })
  return drift
}

function difference(expected: readonly string[], seen: readonly string[]): string {
  const lacking = expected.filter((r) => !seen.includes(r)).map((r) => `lacks "${r}"`)
  const extra = seen.filter((r) => !expected.includes(r)).map((r) => `has "${r}"`)
  return [...lacking, ...extra].join(', ') || 'another order'
}
