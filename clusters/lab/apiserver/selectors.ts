import { badRequest } from './errors.ts'
import type { KubeObject, LabelSelector } from './types.ts'

type Labels = Readonly<Record<string, string>> | undefined
export type LabelMatcher = (labels: Labels) => boolean
export type ObjectMatcher = (object: KubeObject) => boolean

const key = '[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?'
const value = '(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?'
const requirement = new RegExp(
  `\\s*(?:(?<absent>!)\\s*(?<not>${key})|(?<key>${key})(?:\\s*(?<op>==|=|!=|>|<)\\s*(?<value>${value})|\\s+(?<set>in|notin)\\s*\\(\\s*(?<values>[^()]*)\\))?)\\s*(?:,|$)`,
  'y',
)
const oneValue = new RegExp(`^${value}$`)

/**
 * Reads a label selector with all its operators: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`, `a>1`, `a<1`, joined by commas.
 * `a!=b` and `a notin (b)` also match what has no label `a`, as Kubernetes has it.
 * @throws ApiError 400 that names the place
 */
export function parseLabelSelector(text: string): LabelMatcher {
  const tests: LabelMatcher[] = []
  if (text.trim() === '') return () => true
  requirement.lastIndex = 0
  for (let at = 0; at < text.length; at = requirement.lastIndex) {
    requirement.lastIndex = at
    const found = requirement.exec(text)?.groups
    if (!found) throw badRequest(`unable to parse label selector ${JSON.stringify(text)}: at ${JSON.stringify(text.slice(at))}`)
    tests.push(labelTest(found, text))
  }
  if (/,\s*$/.test(text)) throw badRequest(`unable to parse label selector ${JSON.stringify(text)}: nothing after the last comma`)
  return (labels) => tests.every((test) => test(labels))
}

function labelTest(found: Record<string, string | undefined>, text: string): LabelMatcher {
  const { absent, not, key, op, value, set, values } = found
  if (absent) return (labels) => labels?.[not!] === undefined
  if (set) {
    const wanted = values!.split(',').map((v) => v.trim())
    const wrong = wanted.find((v) => !oneValue.test(v))
    if (wrong !== undefined)
      throw badRequest(`unable to parse label selector ${JSON.stringify(text)}: ${JSON.stringify(wrong)} is no label value`)
    return set === 'in' ? (labels) => has(labels, key!, wanted) : (labels) => !has(labels, key!, wanted)
  }
  if (op === '>' || op === '<') {
    if (!/^-?\d+$/.test(value!)) throw badRequest(`unable to parse label selector ${JSON.stringify(text)}: ${op} needs an integer`)
    return (labels) => {
      const own = labels?.[key!]
      if (own === undefined || !/^-?\d+$/.test(own)) return false
      return op === '>' ? BigInt(own) > BigInt(value!) : BigInt(own) < BigInt(value!)
    }
  }
  if (op === '!=') return (labels) => labels?.[key!] !== value
  if (op) return (labels) => labels?.[key!] === value
  return (labels) => labels?.[key!] !== undefined
}

function has(labels: Labels, key: string, values: readonly string[]): boolean {
  const own = labels?.[key]
  return own !== undefined && values.includes(own)
}

/** The matcher of a LabelSelector object. An empty selector matches everything, none (undefined) nothing. */
export function labelSelectorMatcher(selector: LabelSelector | undefined): LabelMatcher {
  if (!selector) return () => false
  const equal = Object.entries(selector.matchLabels ?? {})
  const expressions = selector.matchExpressions ?? []
  return (labels) =>
    equal.every(([key, value]) => labels?.[key] === value) &&
    expressions.every(({ key, operator, values = [] }) => {
      if (operator === 'In') return has(labels, key, values)
      if (operator === 'NotIn') return !has(labels, key, values)
      return (labels?.[key] !== undefined) === (operator === 'Exists')
    })
}

/** Fields that a resource can be selected by beside metadata.name and metadata.namespace; as upstream's field label conversions. */
const selectable: Record<string, readonly string[]> = {
  Pod: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  Node: ['spec.unschedulable'],
  Namespace: ['status.phase', 'name'],
  Service: ['spec.clusterIP', 'spec.type'],
  Secret: ['type'],
  ReplicaSet: ['status.replicas'],
  Event: [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
}
const booleans = new Set(['spec.unschedulable', 'spec.hostNetwork'])

/**
 * Reads a field selector: `path=value`, `path==value`, `path!=value`, joined by commas; `\,`, `\=` and `\\` in values are escapes.
 * @throws ApiError 400 for bad syntax and for fields that the kind cannot be selected by
 */
export function parseFieldSelector(text: string, kind: string): ObjectMatcher {
  const terms = text.match(/(?:\\.|[^,\\])+/g) ?? []
  const tests = terms.map((term): ObjectMatcher => {
    const found = /^\s*([A-Za-z.]+)\s*(==|=|!=)((?:\\[\\,=]|[^\\=])*)$/.exec(term)
    if (!found) throw badRequest(`invalid field selector ${JSON.stringify(text)}: can't understand ${JSON.stringify(term)}`)
    const [, path, operator, raw] = found
    if (path !== 'metadata.name' && path !== 'metadata.namespace' && !selectable[kind]?.includes(path!)) {
      throw badRequest(`field label not supported: ${path}`)
    }
    const wanted = raw!.replace(/\\(.)/g, '$1')
    return (object) => (fieldValue(object, path!) === wanted) === (operator !== '!=')
  })
  return (object) => tests.every((test) => test(object))
}

function fieldValue(object: KubeObject, path: string): string {
  let at: unknown = object
  for (const step of path === 'name' ? ['metadata', 'name'] : path.split('.')) at = (at as Record<string, unknown> | undefined)?.[step]
  if (at === undefined || at === null) return booleans.has(path) ? 'false' : ''
  return String(at)
}
