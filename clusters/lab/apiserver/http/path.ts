import { badRequest, unknownPath } from '../errors.ts'
import { allResources, apiVersionOf, findResource, type Resource } from '../resources.ts'

/** What a request's path is about. */
export type Target =
  | { readonly is: 'collection'; readonly resource: Resource; readonly namespace?: string }
  | {
      readonly is: 'object'
      readonly resource: Resource
      readonly namespace?: string
      readonly name: string
      readonly subresource?: string
    }
  /** POST-only kinds that are answered and not stored; `namespace` for the local ones. */
  | { readonly is: 'review'; readonly apiVersion: string; readonly review: string }
  | { readonly is: 'discovery'; readonly apiVersion: string }

/** Kinds that are answered and not stored. */
export const reviews: readonly { group: string; plural: string; kind: string }[] = [
  { group: 'authentication.k8s.io', plural: 'tokenreviews', kind: 'TokenReview' },
  { group: 'authentication.k8s.io', plural: 'selfsubjectreviews', kind: 'SelfSubjectReview' },
  { group: 'authorization.k8s.io', plural: 'selfsubjectaccessreviews', kind: 'SelfSubjectAccessReview' },
  { group: 'authorization.k8s.io', plural: 'subjectaccessreviews', kind: 'SubjectAccessReview' },
]

/** `v1`, `apps/v1`, …: all that is served. */
export const servedVersions: readonly string[] = [
  ...new Set([...allResources.map(apiVersionOf), ...reviews.map(({ group }) => `${group}/v1`)]),
]

/**
 * Reads `/api/v1/…` and `/apis/GROUP/VERSION/…`.
 * @throws ApiError 404 for what is not served, 400 for a path that cannot be decoded
 */
export function parsePath(pathname: string): Target {
  const [root, ...rest] = decode(pathname)
  const [group, version, steps] = root === 'api' ? ['', rest[0], rest.slice(1)] : [rest[0], rest[1], rest.slice(2)]
  const apiVersion = group ? `${group}/${version}` : String(version)
  if ((root !== 'api' && root !== 'apis') || !servedVersions.includes(apiVersion)) throw unknownPath()
  if (steps.length === 0) return { is: 'discovery', apiVersion }
  const review = reviews.find((r) => r.group === group && r.plural === steps[0] && steps.length === 1)
  if (review) return { is: 'review', apiVersion, review: review.kind }
  const inNamespace = steps[0] === 'namespaces' && steps.length > 2 && !['status', 'finalize'].includes(steps[2]!)
  const [plural, name, subresource, ...tooMuch] = inNamespace ? steps.slice(2) : steps
  const resource = findResource({ group: group!, version: version!, resource: plural! })
  if (!resource || tooMuch.length > 0 || (inNamespace && !resource.namespaced)) throw unknownPath()
  const namespace = inNamespace ? { namespace: steps[1]! } : {}
  if (!name) return { is: 'collection', resource, ...namespace }
  if (resource.namespaced && !inNamespace) throw unknownPath()
  if (subresource && !hasSubresource(resource, subresource)) throw unknownPath()
  return { is: 'object', resource, name, ...namespace, ...(subresource && { subresource }) }
}

function hasSubresource(resource: Resource, name: string): boolean {
  return (name === 'status' && resource.status) || resource.subresources.some((sub) => sub.name === name)
}

function decode(pathname: string): string[] {
  try {
    return pathname
      .split('/')
      .filter((step) => step !== '')
      .map(decodeURIComponent)
  } catch {
    throw badRequest(`the path ${JSON.stringify(pathname)} has a broken %-escape`)
  }
}
