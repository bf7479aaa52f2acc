import type { AddressBlock, Authorization, Match, StringMatch as StringMatchMessage } from '../../lib/xds/messages.ts'
import type { Policy, PolicyMatch, StringMatch } from '../state/types.ts'
import { addressText, known } from './gateway.ts'

const scopes = { GLOBAL: 'Global', NAMESPACE: 'Namespace', WORKLOAD_SELECTOR: 'WorkloadSelector' } as const
const actions = { ALLOW: 'Allow', DENY: 'Deny' } as const

/**
 * `istio.security.Authorization` as ztunnel keeps it (fact sheet: in-pod mode, 5.4). What it does not understand it refuses: a condition passed over would widen
 * an ALLOW policy.
 * @throws Error naming the field
 */
export function policyFrom(a: Authorization): Policy {
  if (a.name === '') throw new Error('name is empty')
  return {
    name: a.name,
    namespace: a.namespace,
    scope: known(scopes, a.scope, 'scope'),
    action: known(actions, a.action, 'action'),
    rules: a.rules.map(({ clauses }, r) =>
      clauses.map(({ matches }, c) => matches.map((match, m) => matchFrom(match, `rules[${r}].clauses[${c}].matches[${m}]`))),
    ),
    dryRun: a.dryRun,
  }
}

function matchFrom(m: Match, place: string): PolicyMatch {
  const texts = (list: readonly StringMatchMessage[], name: string) => list.map((s, i) => text(s, `${place}.${name}[${i}]`))
  const blocks = (list: readonly AddressBlock[], name: string) => list.map((b, i) => block(b, `${place}.${name}[${i}]`))
  const ports = (list: readonly number[], name: string) => {
    const bad = list.findIndex((port) => port > 65_535)
    if (bad !== -1) throw new Error(`${place}.${name}[${bad}]: ${list[bad]} is no port`)
    return list
  }
  const all = {
    namespaces: texts(m.namespaces, 'namespaces'),
    notNamespaces: texts(m.notNamespaces, 'not_namespaces'),
    serviceAccounts: m.serviceAccounts,
    notServiceAccounts: m.notServiceAccounts,
    principals: texts(m.principals, 'principals'),
    notPrincipals: texts(m.notPrincipals, 'not_principals'),
    sourceIps: blocks(m.sourceIps, 'source_ips'),
    notSourceIps: blocks(m.notSourceIps, 'not_source_ips'),
    destinationIps: blocks(m.destinationIps, 'destination_ips'),
    notDestinationIps: blocks(m.notDestinationIps, 'not_destination_ips'),
    destinationPorts: ports(m.destinationPorts, 'destination_ports'),
    notDestinationPorts: ports(m.notDestinationPorts, 'not_destination_ports'),
  }
  return Object.fromEntries(Object.entries(all).filter(([, list]) => list.length > 0))
}

function text(s: StringMatchMessage, place: string): StringMatch {
  if (s.exact !== undefined) return { Exact: s.exact }
  if (s.prefix !== undefined) return { Prefix: s.prefix }
  if (s.suffix !== undefined) return { Suffix: s.suffix }
  if (s.presence) return 'Presence'
  throw new Error(`${place}: none of exact, prefix, suffix and presence is set`)
}

function block({ address, length }: AddressBlock, place: string): string {
  const ip = addressText(address, place)
  if (length > address.length * 8) throw new Error(`${place}: ${ip}/${length} has more bits than the address`)
  // A v4 block in v6 form (`::ffff:10.0.0.0/104`) is the v4 block.
  const mapped = address.length === 16 && !ip.includes(':')
  if (mapped && length < 96) throw new Error(`${place}: ::ffff:${ip}/${length} mixes IPv4 and IPv6`)
  return `${ip}/${mapped ? length - 96 : length}`
}
