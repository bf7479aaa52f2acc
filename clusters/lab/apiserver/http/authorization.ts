import type { User } from '../tokens.ts'

/** What somebody wants to do, as in SubjectAccessReview's resourceAttributes or nonResourceAttributes. */
export interface Attributes {
  readonly verb?: string
  readonly group?: string
  readonly resource?: string
  readonly subresource?: string
  readonly namespace?: string
  readonly name?: string
  readonly path?: string
}

/** Decides every request and every access review, so that an authorizer that reads roles can take the place of the one below. */
export type Authorizer = (user: User, attributes: Attributes) => { readonly allowed: boolean; readonly reason?: string }

/** Roles and bindings are stored, but not enforced: whoever is authenticated may do everything. */
export const allowAuthenticated: Authorizer = () => ({
  allowed: true,
  reason: 'every authenticated user is allowed: roles are not enforced',
})
