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

/** Decides every request and every access review. */
export type Authorizer = (user: User, attributes: Attributes) => { readonly allowed: boolean; readonly reason?: string }

export type OnDecision = (user: User, attributes: Attributes, allowed: boolean) => void
