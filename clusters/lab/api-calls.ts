import { appendFileSync } from 'node:fs'
import type { OnDecision } from './apiserver/http/authorization.ts'

/** A call that a service account made, once however often it was made. */
export interface ApiCall {
  /** `NAMESPACE/NAME` of the account. */
  readonly account: string
  readonly verb: string
  readonly group: string
  /** With its subresource: `pods/status`. */
  readonly resource: string
  readonly namespace?: string
  readonly name?: string
  readonly allowed: boolean
}

/** Calls of objects that many have: their names would only make lines. */
const unnamed = ['pods', 'pods/status', 'namespaces', 'nodes']

/** Writes down what service accounts ask the API for, one line of JSON for each kind of call, so that rights can be compared with their use. */
export function apiCalls(file: string): OnDecision {
  const seen = new Set<string>()
  return (user, asked, allowed) => {
    const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user.username) ?? []
    if (!namespace) return
    const resource = asked.subresource ? `${asked.resource}/${asked.subresource}` : (asked.resource ?? '')
    const call: ApiCall = {
      account: `${namespace}/${name}`,
      verb: asked.verb ?? '',
      group: asked.group ?? '',
      resource,
      ...(unnamed.includes(resource) || !asked.namespace ? {} : { namespace: asked.namespace }),
      ...(unnamed.includes(resource) || !asked.name ? {} : { name: asked.name }),
      allowed,
    }
    const line = `${JSON.stringify(call)}\n`
    if (seen.has(line)) return
    seen.add(line)
    appendFileSync(file, line)
  }
}
