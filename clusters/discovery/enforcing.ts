import type { Authorizer } from '../lab/apiserver/http/authorization.ts'
import { resources, type Store } from '../lab/apiserver/store.ts'

interface Rule {
  apiGroups?: string[]
  resources?: string[]
  resourceNames?: string[]
  verbs?: string[]
}
interface Binding {
  metadata: { namespace?: string }
  roleRef: { kind: string; name: string }
  subjects?: { kind: string; name: string; namespace?: string }[]
}

/**
 * An authorizer that enforces the Roles and ClusterRoles that are in the store for service accounts (RBAC without aggregation, wildcards and groups);
 * everybody else may do everything.
 */
export function enforcing(store: Store): Authorizer {
  const list = (resource: (typeof resources)[keyof typeof resources]) => store.list(resource as never) as unknown[]
  return (user, asked) => {
    const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user.username)
    if (!account) return { allowed: true }
    const bound = ({ subjects = [] }: Binding) =>
      subjects.some((s) => s.kind === 'ServiceAccount' && s.namespace === account[1] && s.name === account[2])
    const rules = [
      ...(list(resources.clusterrolebindings) as Binding[])
        .filter(bound)
        .flatMap(
          (b) => (store.find(resources.clusterroles as never, { name: b.roleRef.name }) as { rules?: Rule[] } | undefined)?.rules ?? [],
        ),
      ...(list(resources.rolebindings) as Binding[])
        .filter((b) => bound(b) && b.metadata.namespace === asked.namespace)
        .flatMap(
          (b) =>
            (store.find(resources.roles as never, { name: b.roleRef.name, namespace: asked.namespace! }) as { rules?: Rule[] } | undefined)
              ?.rules ?? [],
        ),
    ]
    const resource = asked.subresource ? `${asked.resource}/${asked.subresource}` : (asked.resource ?? '')
    const allowed = rules.some(
      (r) =>
        r.apiGroups?.includes(asked.group ?? '') &&
        r.resources?.includes(resource) &&
        r.verbs?.includes(asked.verb ?? '') &&
        (!r.resourceNames || r.resourceNames.includes(asked.name ?? '')),
    )
    return { allowed, reason: `roles of ${user.username}` }
  }
}
