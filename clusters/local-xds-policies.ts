import ipaddr from 'ipaddr.js'
import type { KubernetesObject } from './kubernetes.ts'

interface Source {
  principals?: string[]
  notPrincipals?: string[]
  namespaces?: string[]
  notNamespaces?: string[]
  ipBlocks?: string[]
  notIpBlocks?: string[]
  [layer7: string]: unknown
}

interface Operation {
  ports?: string[]
  notPorts?: string[]
  [layer7: string]: unknown
}

interface Rule {
  from?: { source?: Source }[]
  to?: { operation?: Operation }[]
  when?: { key: string; values?: string[]; notValues?: string[] }[]
}

/** `security.istio.io/v1`, the fields that the conversion reads. */
export interface AuthorizationPolicy extends KubernetesObject {
  spec?: {
    selector?: { matchLabels?: Record<string, string> }
    targetRef?: object
    targetRefs?: object[]
    action?: string
    rules?: Rule[]
  }
}

export interface LocalPolicy {
  name: string
  namespace: string
  scope: 'Global' | 'Namespace' | 'WorkloadSelector'
  action: 'Allow' | 'Deny'
  /** OR of rules; a rule is an AND of clauses, a clause an OR of matches, a match an AND over its keys. */
  rules: Match[][][]
}

type StringMatch = { Exact: string } | { Prefix: string } | { Suffix: string } | 'Presence'
type Match = { [key: string]: (StringMatch | string | number)[] }

/** A condition that layer 4 cannot decide, or a value that means nothing. */
class Undecidable extends Error {}

/**
 * What ztunnel gets of a policy. What layer 4 cannot decide is turned to the stricter side, as Istio does: an ALLOW rule with it is
 * dropped, in a DENY rule the condition is dropped. A value that means nothing (port `x`) counts as such a condition.
 * @param rootNamespace where policies without a selector hold for the whole mesh
 * @returns undefined for policies that are not ztunnel's: CUSTOM, AUDIT, and those with targetRefs (a waypoint's)
 */
export function convertPolicy(policy: AuthorizationPolicy, rootNamespace: string): LocalPolicy | undefined {
  const { name, namespace = '' } = policy.metadata
  const spec = policy.spec ?? {}
  const action = { ALLOW: 'Allow', DENY: 'Deny' }[spec.action ?? 'ALLOW'] as LocalPolicy['action'] | undefined
  if (!action || spec.targetRef || spec.targetRefs?.length) return undefined
  const scope = spec.selector ? 'WorkloadSelector' : namespace === rootNamespace ? 'Global' : 'Namespace'
  return { name, namespace, scope, action, rules: (spec.rules ?? []).flatMap((rule) => convertRule(rule, action)) }
}

/** No rule, or one. */
function convertRule(rule: Rule, action: LocalPolicy['action']): Match[][][] {
  const parts: (() => Match)[][] = []
  if (rule.to?.length)
    parts.push(
      rule.to.map(
        ({ operation }) =>
          () =>
            toMatch(operation ?? {}, action),
      ),
    )
  if (rule.from?.length)
    parts.push(
      rule.from.map(
        ({ source }) =>
          () =>
            fromMatch(source ?? {}, action),
      ),
    )
  for (const when of rule.when ?? []) parts.push([() => whenMatch(when, action)])
  try {
    const clauses = parts.map((alternatives) => alternatives.map((make) => make()))
    // A match without a condition holds always, and so does its clause: it is left out. A rule of no clauses matches.
    return [clauses.filter((clause) => clause.every((match) => Object.keys(match).length > 0))]
  } catch (error) {
    if (error instanceof Undecidable) return []
    throw error
  }
}

const operationKeys = new Set(['ports', 'notPorts'])
const sourceKeys = new Set(['principals', 'notPrincipals', 'namespaces', 'notNamespaces', 'ipBlocks', 'notIpBlocks'])

function toMatch(operation: Operation, action: LocalPolicy['action']): Match {
  refuseLayer7(operation, operationKeys, action)
  return collect(action, {
    destinationPorts: [operation.ports, port],
    notDestinationPorts: [operation.notPorts, port],
  })
}

function fromMatch(source: Source, action: LocalPolicy['action']): Match {
  refuseLayer7(source, sourceKeys, action)
  return collect(action, {
    principals: [source.principals, string],
    notPrincipals: [source.notPrincipals, string],
    namespaces: [source.namespaces, string],
    notNamespaces: [source.notNamespaces, string],
    sourceIps: [source.ipBlocks, cidr],
    notSourceIps: [source.notIpBlocks, cidr],
  })
}

const whenKeys: Record<string, [key: string, negated: string, convert: (value: string) => StringMatch | string | number]> = {
  'source.namespace': ['namespaces', 'notNamespaces', string],
  'source.principal': ['principals', 'notPrincipals', string],
  'source.ip': ['sourceIps', 'notSourceIps', cidr],
  'destination.port': ['destinationPorts', 'notDestinationPorts', port],
  'destination.ip': ['destinationIps', 'notDestinationIps', cidr],
}

function whenMatch(when: { key: string; values?: string[]; notValues?: string[] }, action: LocalPolicy['action']): Match {
  const known = whenKeys[when.key]
  if (!known) {
    if (action === 'Allow') throw new Undecidable(when.key)
    return {}
  }
  const [key, negated, convert] = known
  return collect(action, { [key]: [when.values, convert], [negated]: [when.notValues, convert] })
}

function refuseLayer7(fields: Record<string, unknown>, known: ReadonlySet<string>, action: LocalPolicy['action']): void {
  const others = Object.entries(fields).filter(([key, value]) => !known.has(key) && Array.isArray(value) && value.length > 0)
  if (action === 'Allow' && others.length > 0) throw new Undecidable(others.map(([key]) => key).join(', '))
}

type Conversion = [values: string[] | undefined, convert: (value: string) => StringMatch | string | number]

/** The conditions that are there. A DENY condition with a value that means nothing is dropped whole: it then denies more, never less. */
function collect(action: LocalPolicy['action'], fields: Record<string, Conversion>): Match {
  const match: Match = {}
  for (const [key, [values, convert]] of Object.entries(fields)) {
    if (!values?.length) continue
    try {
      match[key] = values.map(convert)
    } catch (error) {
      if (action === 'Allow' || !(error instanceof Undecidable)) throw error
    }
  }
  return match
}

function string(value: string): StringMatch {
  if (value === '*') return 'Presence'
  if (value.startsWith('*')) return { Suffix: value.slice(1) }
  if (value.endsWith('*')) return { Prefix: value.slice(0, -1) }
  return { Exact: value }
}

function port(value: string): number {
  if (!/^\d{1,5}$/.test(value) || Number(value) > 65535) throw new Undecidable(`port ${value}`)
  return Number(value)
}

/** An address alone is a block of one. */
function cidr(value: string): string {
  if (ipaddr.isValidCIDR(value)) return value
  if (ipaddr.isValid(value)) return `${value}/${value.includes(':') ? 128 : 32}`
  throw new Undecidable(`IP block ${value}`)
}
