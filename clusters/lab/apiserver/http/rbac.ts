import { resources } from '../resources.ts'
import type { Store } from '../store.ts'
import type { KubeObject } from '../types.ts'
import type { Authorizer } from './authorization.ts'

interface Rule {
  apiGroups?: string[]
  resources?: string[]
  resourceNames?: string[]
  verbs?: string[]
  nonResourceURLs?: string[]
}
interface Role extends KubeObject {
  rules?: Rule[]
}
interface Binding extends KubeObject {
  roleRef: { kind: string; name: string }
  subjects?: { kind: string; name: string; namespace?: string }[]
}

/**
 * Allows what Roles and ClusterRoles in the store allow, as upstream's RBAC authorizer: by user, group and service account, with `*`; without aggregated roles.
 * Group `system:masters` may do everything.
 */
export function rbac(store: Store): Authorizer {
  const rolesOf = (binding: Binding): Rule[] => {
    const { kind, name } = binding.roleRef
    const { namespace } = binding.metadata
    const role =
      kind === 'ClusterRole'
        ? store.find(resources.clusterroles, { name })
        : store.find(resources.roles, { name, namespace: namespace ?? '' })
    return (role as Role | undefined)?.rules ?? []
  }
  return (user, asked) => {
    if (user.groups.includes('system:masters')) return { allowed: true, reason: 'group system:masters' }
    const isOf = ({ metadata, subjects = [] }: Binding) =>
      subjects.some(({ kind, name, namespace = metadata.namespace }) => {
        if (kind === 'ServiceAccount') return user.username === `system:serviceaccount:${namespace}:${name}`
        return kind === 'Group' ? user.groups.includes(name) : user.username === name
      })
    const bindings = [
      ...(store.list(resources.clusterrolebindings) as Binding[]),
      ...(asked.namespace ? (store.list(resources.rolebindings, { namespace: asked.namespace }) as Binding[]) : []),
    ]
    const resource = asked.subresource ? `${asked.resource}/${asked.subresource}` : (asked.resource ?? '')
    const allows = (rule: Rule) =>
      asked.path === undefined
        ? has(rule.verbs, asked.verb) &&
          has(rule.apiGroups, asked.group ?? '') &&
          (has(rule.resources, resource) || (asked.subresource !== undefined && rule.resources?.includes(`*/${asked.subresource}`))) &&
          (!rule.resourceNames?.length || rule.resourceNames.includes(asked.name ?? ''))
        : has(rule.verbs, asked.verb) && (rule.nonResourceURLs ?? []).some((url) => matchesUrl(url, asked.path ?? ''))
    const by = bindings.filter(isOf).find((binding) => rolesOf(binding).some(allows))
    if (!by) return { allowed: false, reason: `no role that is bound to ${user.username} allows it` }
    return { allowed: true, reason: `RBAC: allowed by ${by.kind} "${by.metadata.name}" of ${by.roleRef.kind} "${by.roleRef.name}"` }
  }
}

const has = (list: readonly string[] = [], value = '') => list.includes('*') || list.includes(value)
const matchesUrl = (pattern: string, path: string) => (pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : pattern === path)
