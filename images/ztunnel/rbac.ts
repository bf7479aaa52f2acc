import { isIPv4 } from 'node:net'
import { type Identity, principal } from '../lib/identity.ts'
import { blockList } from './address.ts'
import type { MeshState } from './state/store.ts'
import { type Policy, type PolicyMatch, policyKey, type StringMatch, type Workload } from './state/types.ts'

/** A connection as policy sees it: who, from where, to which address and port of the workload. */
export interface PolicyConnection {
  /** None for plaintext. */
  readonly identity: Identity | undefined
  readonly sourceIp: string
  readonly destinationIp: string
  readonly destinationPort: number
}

/** Undefined: allowed. Otherwise upstream's words for why not. */
export type Denial = string | undefined

/**
 * L4 authorization (fact sheet: in-pod mode, 4.7): the workload's policies are all of its namespace, all global ones and those it names;
 * a matching DENY refuses, no ALLOW policy at all admits, a matching ALLOW admits, else refused.
 * @param onUnknown called with the name of a policy that the workload names and nobody knows
 */
export function authorize(state: MeshState, workload: Workload, connection: PolicyConnection, onUnknown?: (name: string) => void): Denial {
  const policies = policiesFor(state, workload, onUnknown)
  const denied = policies.find((p) => p.action === 'Deny' && matches(p, connection))
  if (denied) return `explicitly denied by: ${policyKey(denied)}`
  const allows = policies.filter((p) => p.action === 'Allow')
  if (allows.length === 0 || allows.some((p) => matches(p, connection))) return undefined
  return 'allow policies exist, but none allowed'
}

function policiesFor(state: MeshState, workload: Workload, onUnknown?: (name: string) => void): Policy[] {
  const found = [...state.policiesOver(workload.namespace)].filter((policy) => !policy.dryRun)
  for (const name of workload.authorizationPolicies) {
    const policy = state.policies.get(name)
    if (!policy) onUnknown?.(name)
    else if (!policy.dryRun && !found.includes(policy)) found.push(policy)
  }
  return found
}

/** Whether one of the policy's rules matches. No rules never match; a rule without clauses, and a clause without matches, always do. */
export function matches(policy: Policy, connection: PolicyConnection): boolean {
  return policy.rules.some((rule) => rule.every((clause) => clause.length === 0 || clause.some((match) => matchesOne(match, connection))))
}

/** A match in which nothing is set does not count, so a clause of only such matches does not match. */
function matchesOne(match: PolicyMatch, connection: PolicyConnection): boolean {
  const { identity } = connection
  const checks = [
    test(match.destinationIps, match.notDestinationIps, (cidr) => contains(cidr, connection.destinationIp)),
    test(match.sourceIps, match.notSourceIps, (cidr) => contains(cidr, connection.sourceIp)),
    test(match.destinationPorts, match.notDestinationPorts, (port) => port === connection.destinationPort),
    test(
      match.serviceAccounts,
      match.notServiceAccounts,
      (account) => identity?.namespace === account.namespace && identity.serviceAccount === account.serviceAccount,
    ),
    test(match.principals, match.notPrincipals, (pattern) => identity !== undefined && matchesText(pattern, principal(identity))),
    test(match.namespaces, match.notNamespaces, (pattern) => matchesText(pattern, identity?.namespace ?? '')),
  ]
  return checks.some((c) => c !== undefined) && !checks.includes(false)
}

/** Undefined when neither list is set. */
function test<T>(some: readonly T[] = [], none: readonly T[] = [], hit: (item: T) => boolean): boolean | undefined {
  if (some.length === 0 && none.length === 0) return undefined
  return (some.length === 0 || some.some(hit)) && !none.some(hit)
}

function matchesText(pattern: StringMatch, value: string): boolean {
  if (pattern === 'Presence') return value !== ''
  if ('Exact' in pattern) return value === pattern.Exact
  if ('Prefix' in pattern) return value.startsWith(pattern.Prefix)
  return value.endsWith(pattern.Suffix)
}

const sets = new Map<string, ReturnType<typeof blockList>>()

function contains(cidr: string, address: string): boolean {
  // Node's BlockList takes an IPv4 address for the IPv6 one that it maps to: `::/0` would hold all of both.
  if (cidr.includes(':') !== address.includes(':')) return false
  let set = sets.get(cidr)
  if (!set) {
    if (sets.size >= 10_000) sets.clear()
    set = blockList([cidr])
    sets.set(cidr, set)
  }
  return set.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')
}
