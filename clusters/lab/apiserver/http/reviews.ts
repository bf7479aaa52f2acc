import { badRequest } from '../errors.ts'
import { isObject, type Json, type JsonObject } from '../json.ts'
import type { TokenSpec, Tokens, User } from '../tokens.ts'
import type { Attributes, Authorizer } from './authorization.ts'

/** Answers a TokenReview, SelfSubjectReview or access review. @throws ApiError 400 that names the field */
export function answerReview(apiVersion: string, kind: string, body: Json, user: User, tokens: Tokens, authorize: Authorizer): JsonObject {
  const sent = objectAt(body, 'the body')
  if ((sent.apiVersion ?? apiVersion) !== apiVersion || (sent.kind ?? kind) !== kind) {
    throw badRequest(`the object provided is ${sent.apiVersion} ${sent.kind}: this path takes ${apiVersion} ${kind}`)
  }
  const metadata = isObject(sent.metadata) ? sent.metadata : {}
  const answer = (status: object): JsonObject => ({
    apiVersion,
    kind,
    metadata,
    ...(sent.spec !== undefined && { spec: sent.spec }),
    status: status as JsonObject,
  })
  if (kind === 'SelfSubjectReview') return answer({ userInfo: user })
  const spec = objectAt(sent.spec, 'spec')
  if (kind === 'TokenReview') return answer(reviewToken(spec, tokens))
  const attributes = (spec.resourceAttributes ?? spec.nonResourceAttributes) as Attributes | undefined
  if (!isObject(attributes)) throw badRequest('spec: exactly one of resourceAttributes and nonResourceAttributes must be set')
  return answer(authorize(kind === 'SelfSubjectAccessReview' ? user : subject(spec), attributes))
}

function reviewToken(spec: JsonObject, tokens: Tokens): object {
  const { token, audiences = [] } = spec
  if (typeof token !== 'string' || token === '') throw badRequest('spec.token: must be the token to review')
  if (!Array.isArray(audiences) || audiences.some((audience) => typeof audience !== 'string'))
    throw badRequest('spec.audiences: must be a list of strings')
  const result = tokens.authenticate(token, audiences as string[])
  if ('error' in result) return { authenticated: false, user: {}, error: result.error }
  return { authenticated: true, ...result }
}

function subject({ user, uid, groups }: JsonObject): User {
  if (typeof user !== 'string' && !Array.isArray(groups)) throw badRequest('spec: at least one of user and groups must be set')
  return { username: String(user ?? ''), ...(typeof uid === 'string' && { uid }), groups: (groups ?? []) as string[] }
}

/** The TokenRequest object that answers one. */
export function answerTokenRequest(body: Json, account: { name: string; namespace?: string }, tokens: Tokens): JsonObject {
  const sent = objectAt(body, 'the body')
  const spec = sent.spec === undefined ? {} : objectAt(sent.spec, 'spec')
  const { audiences, expirationSeconds = 3600 } = spec
  if (audiences !== undefined && (!Array.isArray(audiences) || audiences.some((audience) => typeof audience !== 'string'))) {
    throw badRequest('spec.audiences: must be a list of strings')
  }
  const status = tokens.issue(account, spec as TokenSpec)
  return {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name: account.name, ...(account.namespace && { namespace: account.namespace }) },
    spec: { ...spec, expirationSeconds },
    status,
  }
}

function objectAt(value: Json | undefined, what: string): JsonObject {
  if (!isObject(value)) throw badRequest(`${what} must be an object`)
  return value
}
