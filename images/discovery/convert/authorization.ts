import type { AuthorizationInit, MatchInit } from '../../lib/xds/messages.ts'
import type { AuthorizationPolicy, AuthorizationRule, Condition, Operation, Source } from '../kubernetes/objects.ts'
import { addressBlock } from './address.ts'

type Action = 'ALLOW' | 'DENY'
type Conditions = { -readonly [K in keyof MatchInit]: MatchInit[K] }
type StringMatch = NonNullable<MatchInit['principals']>[number]

/** A condition that layer 4 cannot decide, or a value that means nothing. */
class Undecidable extends Error {}

/**
 * What ztunnel gets of a policy. What layer 4 cannot decide is turned to the stricter side, as Istio does: an ALLOW rule with it is
 * dropped, in a DENY rule the condition is dropped. A value that means nothing (port `x`) counts as such a condition.
 * @param rootNamespace where policies without a selector hold for the whole mesh
 * @returns undefined for policies that are not ztunnel's: CUSTOM, AUDIT, dry runs, and those with targetRefs (a waypoint's)
 */
export function convertAuthorizationPolicy(policy: AuthorizationPolicy, rootNamespace: string): AuthorizationInit | undefined {
  const { name, namespace = '', annotations } = policy.metadata
  const spec = policy.spec ?? {}
  const action = spec.action ?? 'ALLOW'
  if (
    (action !== 'ALLOW' && action !== 'DENY') ||
    spec.targetRef ||
    spec.targetRefs?.length ||
    annotations?.['istio.io/dry-run'] === 'true'
  )
    return undefined
  const scope = spec.selector ? 'WORKLOAD_SELECTOR' : namespace === rootNamespace ? 'GLOBAL' : 'NAMESPACE'
  return { name, namespace, scope, action, rules: (spec.rules ?? []).flatMap((rule) => convertRule(rule, action, namespace)) }
}

/** No rule, or one. */
function convertRule(rule: AuthorizationRule, action: Action, namespace: string): NonNullable<AuthorizationInit['rules']> {
  try {
    const clauses: MatchInit[][] = []
    if (rule.to?.length) clauses.push(rule.to.map(({ operation }) => toMatch(operation ?? {}, action)))
    if (rule.from?.length) clauses.push(rule.from.map(({ source }) => fromMatch(source ?? {}, action, namespace)))
    for (const when of rule.when ?? []) clauses.push([whenMatch(when, action, namespace)])
    // A match without a condition holds always, and so does its clause: it is left out. A rule of no clauses matches.
    const decisive = clauses.filter((clause) => clause.every((match) => Object.keys(match).length > 0))
    return [{ clauses: decisive.map((matches) => ({ matches })) }]
  } catch (error) {
    if (error instanceof Undecidable) return []
    throw error
  }
}

const operationKeys = new Set(['ports', 'notPorts'])
const sourceKeys = new Set([
  'principals',
  'notPrincipals',
  'namespaces',
  'notNamespaces',
  'serviceAccounts',
  'notServiceAccounts',
  'ipBlocks',
  'notIpBlocks',
])

function toMatch(operation: Operation, action: Action): MatchInit {
  refuseLayer7(operation, operationKeys, action)
  return collect(action, {
    destinationPorts: [operation.ports, port],
    notDestinationPorts: [operation.notPorts, port],
  })
}

function fromMatch(source: Source, action: Action, namespace: string): MatchInit {
  refuseLayer7(source, sourceKeys, action)
  const account = serviceAccountIn(namespace)
  return collect(action, {
    principals: [source.principals, string],
    notPrincipals: [source.notPrincipals, string],
    namespaces: [source.namespaces, string],
    notNamespaces: [source.notNamespaces, string],
    serviceAccounts: [source.serviceAccounts, account],
    notServiceAccounts: [source.notServiceAccounts, account],
    sourceIps: [source.ipBlocks, block],
    notSourceIps: [source.notIpBlocks, block],
  })
}

type Convert = (value: string) => unknown
const whenKeys = (namespace: string): Record<string, [key: keyof MatchInit, negated: keyof MatchInit, convert: Convert]> => ({
  'source.namespace': ['namespaces', 'notNamespaces', string],
  'source.serviceAccount': ['serviceAccounts', 'notServiceAccounts', serviceAccountIn(namespace)],
  'source.principal': ['principals', 'notPrincipals', string],
  'source.ip': ['sourceIps', 'notSourceIps', block],
  'destination.port': ['destinationPorts', 'notDestinationPorts', port],
  'destination.ip': ['destinationIps', 'notDestinationIps', block],
})

function whenMatch(when: Condition, action: Action, namespace: string): MatchInit {
  const keys = whenKeys(namespace)
  if (!Object.hasOwn(keys, when.key)) {
    if (action === 'ALLOW') throw new Undecidable(when.key)
    return {}
  }
  const [key, negated, convert] = keys[when.key]!
  return collect(action, { [key]: [when.values, convert], [negated]: [when.notValues, convert] })
}

function refuseLayer7(fields: Record<string, unknown>, known: ReadonlySet<string>, action: Action): void {
  const others = Object.entries(fields).filter(([key, value]) => !known.has(key) && Array.isArray(value) && value.length > 0)
  if (action === 'ALLOW' && others.length > 0) throw new Undecidable(others.map(([key]) => key).join(', '))
}

/** The conditions that are there. A DENY condition with a value that means nothing is dropped whole: it then denies more, never less. */
function collect(action: Action, fields: { [K in keyof MatchInit]?: [values: string[] | undefined, convert: Convert] }): MatchInit {
  const match: Conditions = {}
  for (const [key, [values, convert]] of Object.entries(fields)) {
    if (!values?.length) continue
    try {
      Object.assign(match, { [key]: values.map(convert) })
    } catch (error) {
      if (action === 'ALLOW' || !(error instanceof Undecidable)) throw error
    }
  }
  return match
}

function string(value: string): StringMatch {
  if (value === '*') return { presence: {} }
  if (value.startsWith('*')) return { suffix: value.slice(1) }
  if (value.endsWith('*')) return { prefix: value.slice(0, -1) }
  return { exact: value }
}

/** `name` in the policy's own namespace, or `namespace/name`. */
function serviceAccountIn(namespace: string): Convert {
  return (value) => {
    const [first, second, ...rest] = value.split('/')
    if (!first || second === '' || rest.length > 0) throw new Undecidable(`service account ${value}`)
    return second === undefined ? { namespace, serviceAccount: first } : { namespace: first, serviceAccount: second }
  }
}

function port(value: string): number {
  if (!/^\d{1,5}$/.test(value) || Number(value) > 65535) throw new Undecidable(`port ${value}`)
  return Number(value)
}

function block(value: string): { address: Uint8Array; length: number } {
  const found = addressBlock(value)
  if (!found) throw new Undecidable(`IP block ${value}`)
  return found
}
