import type { Observation, RuleObservation, StateObservation } from '../../evidence/observation.ts'
import type { TopologyRecord } from '../../evidence/topology-record.ts'
import type { Audit, Drift } from '../state.ts'
import {
  listeners,
  type NodeNames,
  nodePolicy,
  nodeRoutes,
  nodeRules,
  podSet,
  proxyPolicy,
  proxyRoute,
  proxyRules,
  untouchedPolicy,
} from './expected-state.ts'

/** iptables rules and tunnels, with DNS capture: each node and its ztunnel's namespace as the facts have them, and pods as they came. IPv4 only. */
export const audit: Audit = (observations, topology, snapshot) => {
  const here = observations.filter((o) => 'snapshot' in o && o.snapshot === snapshot)
  const at = (node: string, netns: string) => here.filter((o) => o.node === node && o.netns === netns)
  return [
    ...topology.nodes.flatMap(({ name }) => nodeDrift(name, topology, at)),
    ...topology.pods.flatMap((p) => podDrift(at(p.node, `${p.namespace}.${p.name}`), `${p.node}/${p.namespace}.${p.name}`)),
  ]
}

function nodeDrift(node: string, topology: TopologyRecord, at: (node: string, netns: string) => readonly Observation[]): Drift[] {
  const proxies = topology.proxies.filter((p) => p.node === node)
  const [proxy] = proxies
  const where = `${node}/node`
  if (!proxy || proxies.length > 1) return [{ where, what: `it has ${proxies.length} ztunnels` }]
  const inside = `${proxy.namespace}.${proxy.name}`
  const [state, proxyState] = [at(node, 'node'), at(node, inside)]
  const names = namesOf(state, proxyState)
  if (!names) return [{ where, what: `no address of ${inside}, or no route of the node's to it` }]
  const pods = topology.pods.filter((p) => p.enrolled && p.node === node).map((p) => p.ip)
  const expected = nodeRules(names)
  const own = rulesOf(state).filter((o) => o.chain.startsWith('ztunnel-'))
  const places = new Set([...Object.keys(expected), ...own.map((o) => `${o.table} ${o.chain}`)])
  const members = state.flatMap((o) => (o.kind === 'set-member' && o.set === podSet ? [o.line.split(' ')[0]!] : []))
  const ofMode = (line: string) => / table 10[0-2]( |$)/.test(line)
  return [
    ...[...places].flatMap((place) =>
      inOrder(
        `${place}`,
        expected[place] ?? [],
        own.filter((o) => `${o.table} ${o.chain}` === place).map((o) => o.rule),
        where,
      ),
    ),
    ...Object.keys(expected).flatMap((place) => jumpDrift(place, rulesOf(state), where)),
    ...same(
      'policy rule',
      nodePolicy,
      linesOf(state, 'policy-rule').filter((line) => /^10\d: /.test(line)),
      where,
    ),
    ...same('route', nodeRoutes(names, pods), linesOf(state, 'route').filter(ofMode), where),
    ...same(`address in ${podSet}`, pods, members, where),
    ...proxyDrift(names, proxyState, `${node}/${inside}`),
  ]
}

/** Where ztunnel is, by what the primary CNI plugin has made: not by what is to be looked at. */
function namesOf(state: readonly Observation[], proxyState: readonly Observation[]): NodeNames | undefined {
  const first = (lines: readonly string[], pattern: RegExp) => lines.flatMap((line) => pattern.exec(line)?.[1] ?? [])[0]
  const proxy = first(linesOf(proxyState, 'route'), /^local (\S+) dev eth0 table local /)
  if (!proxy) return undefined
  const routes = linesOf(state, 'route')
  const device = first(routes, new RegExp(`^${proxy.replaceAll('.', '\\.')} dev (\\S+) scope host`))
  const host = device && first(routes, new RegExp(`^local (\\S+) dev ${device} table local `))
  return host ? { device, proxy, host } : undefined
}

/** Each of the mode's chains is asked first in its hook, and once. */
function jumpDrift(place: string, rules: readonly RuleObservation[], where: string): Drift[] {
  const [table, chain] = place.split(' ') as [string, string]
  const base = chain.replace('ztunnel-', '')
  const jump = `-A ${base} -j ${chain}`
  const hook = rules.filter((o) => o.table === table && o.chain === base)
  const jumps = hook.filter((o) => o.rule === jump)
  if (jumps.length !== 1) return [{ where, what: `${table} ${base} has "${jump}" ${jumps.length} times` }]
  return jumps[0]!.position === 0 ? [] : [{ where, what: `${table} ${base}: "${jump}" is not its first rule` }]
}

function proxyDrift({ proxy }: NodeNames, state: readonly Observation[], where: string): Drift[] {
  const rules = rulesOf(state).filter((o) => o.table === 'mangle' && o.chain === 'PREROUTING')
  const listening = (protocol: string, port: number) =>
    state.some((o) => o.kind === 'listener' && o.protocol === protocol && o.local === `0.0.0.0:${port}`)
  return [
    ...inOrder(
      'mangle PREROUTING',
      proxyRules(proxy),
      rules.map((o) => o.rule),
      where,
    ),
    ...same(
      'policy rule',
      proxyPolicy,
      linesOf(state, 'policy-rule').filter((line) => !untouchedPolicy.includes(line)),
      where,
    ),
    ...same(
      'route',
      [proxyRoute],
      linesOf(state, 'route').filter((line) => / table 100( |$)/.test(line)),
      where,
    ),
    ...listeners.flatMap(([protocol, port]) =>
      listening(protocol, port) ? [] : [{ where, what: `nobody listens on ${protocol} 0.0.0.0:${port}` }],
    ),
  ]
}

/** The mode does nothing in a pod, enrolled or not: no rules, no policy rules, no tables. */
function podDrift(state: readonly Observation[], where: string): Drift[] {
  const tables = linesOf(state, 'route').filter((line) => / table (?!local)/.test(line))
  return [
    ...rulesOf(state).map(({ rule }) => ({ where, what: `has the rule "${rule}"` })),
    ...same('policy rule', untouchedPolicy, linesOf(state, 'policy-rule'), where),
    ...tables.map((line) => ({ where, what: `has the route "${line}"` })),
  ]
}

const rulesOf = (state: readonly Observation[]) => state.filter((o) => o.kind === 'rule').filter((o) => o.family === 'ip')

const linesOf = (state: readonly Observation[], kind: StateObservation['kind']) =>
  state.flatMap((o) => (o.kind === kind && o.family === 'ip' ? [o.line.trim()] : []))

function inOrder(place: string, expected: readonly string[], seen: readonly string[], where: string): Drift[] {
  if (expected.join('\n') === seen.join('\n')) return []
  const differing = same('rule', expected, seen, where)
  return differing.length > 0 ? differing.map((d) => ({ ...d, what: `${place}: ${d.what}` })) : [{ where, what: `${place}: another order` }]
}

/** Whatever their order; what is there twice is one too many. */
function same(what: string, expected: readonly string[], seen: readonly string[], where: string): Drift[] {
  const left = [...seen]
  const lacking = expected.filter((line) => {
    const at = left.indexOf(line)
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
  return [
    ...lacking.map((line) => ({ where, what: `no ${what} "${line}"` })),
    ...left.map((line) => ({ where, what: `one ${what} too many: "${line}"` })),
  ]
}
