import type { KubernetesObject } from '../../kubernetes.ts'
import type { Rule } from '../objects.ts'

/** One thing that an account may do. */
export interface Grant {
  /** `NAMESPACE/NAME`. */
  readonly account: string
  readonly verb: string
  readonly group: string
  readonly resource: string
  /** Of one object only. */
  readonly name?: string
}

/** Everything that the roles of these manifests allow, one by one. */
export function grants(objects: readonly KubernetesObject[]): Grant[] {
  return objects
    .filter((o) => o.kind.endsWith('RoleBinding'))
    .flatMap((binding) => {
      const { roleRef, subjects } = binding as unknown as {
        roleRef: { kind: string; name: string }
        subjects: { name: string; namespace: string }[]
      }
      const role = objects.find((o) => o.kind === roleRef.kind && o.metadata.name === roleRef.name) as unknown as { rules: Rule[] }
      const each = role.rules.flatMap(({ apiGroups, resources, resourceNames = [undefined], verbs }) =>
        apiGroups.flatMap((group) =>
          resources.flatMap((resource) =>
            (resourceNames as readonly (string | undefined)[]).flatMap((name) =>
              verbs.map((verb) => ({ verb, group, resource, ...(name ? { name } : {}) })),
            ),
          ),
        ),
      )
      return subjects.flatMap(({ name, namespace }) => each.map((one) => ({ account: `${namespace}/${name}`, ...one })))
    })
}
