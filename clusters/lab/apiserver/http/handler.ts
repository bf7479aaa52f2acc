import type { IncomingMessage, ServerResponse } from 'node:http'
import { ApiError, badRequest, forbidden, notAllowed, unauthorized, unknownPath } from '../errors.ts'
import type { Store } from '../store.ts'
import type { Tokens, User } from '../tokens.ts'
import type { Pod } from '../types.ts'
import type { Authorizer, OnDecision } from './authorization.ts'
import { mediaType, parseBody, readBody } from './body.ts'
import { coreVersions, groupList, groupNamed, resourceList, version } from './discovery.ts'
import { type Exchange, serveCollection, serveObject } from './objects.ts'
import { parsePath, reviews, type Target } from './path.ts'
import { answerReview } from './reviews.ts'

export interface HandlerOptions {
  readonly store: Store
  readonly tokens: Tokens
  readonly authorize: Authorizer
  readonly onDecision: OnDecision
  readonly podLog: ((pod: Pod, container: string) => Promise<string> | string) | undefined
  readonly bookmarkEvery: number
}

/** The listener of the HTTPS servers: who is it, what is asked, may they, do it. Errors are answered as metav1.Status. */
export function createHandler(options: HandlerOptions): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    serve(request, response, options).catch((error: unknown) => {
      if (response.headersSent || response.destroyed) return void response.destroy()
      const known =
        error instanceof ApiError ? error : new ApiError(500, 'InternalError', `Internal error occurred: ${(error as Error).message}`)
      if (!(error instanceof ApiError)) console.error('apiserver:', request.method, request.url, error)
      const retry = known.status.details?.retryAfterSeconds
      if (retry) response.setHeader('retry-after', String(retry))
      // A body that nobody read would be taken for the next request.
      if (!request.complete) response.setHeader('connection', 'close')
      sendJson(response, known.code, known.status)
    })
  }
}

async function serve(request: IncomingMessage, response: ServerResponse, options: HandlerOptions): Promise<void> {
  const authorize: Authorizer = (user, attributes) => {
    const decision = options.authorize(user, attributes)
    options.onDecision(user, attributes, decision.allowed)
    return decision
  }
  const url = new URL(request.url ?? '/', 'https://kubernetes')
  const path = url.pathname.replace(/\/+$/, '')
  if (['/healthz', '/readyz', '/livez'].includes(path)) return void response.writeHead(200, { 'content-type': 'text/plain' }).end('ok')
  if (path === '/version') return sendJson(response, 200, version)
  const user = authenticate(request, options.tokens)
  if (path === '/api') return sendJson(response, 200, coreVersions)
  if (path === '/apis') return sendJson(response, 200, groupList)
  const group = /^\/apis\/([^/]+)$/.exec(path)
  if (group) return sendJson(response, 200, groupNamed(group[1]!) ?? raise(unknownPath()))
  const target = parsePath(path)
  if (target.is === 'discovery') return sendJson(response, 200, resourceList(target.apiVersion))
  const accept = request.headers.accept ?? '*/*'
  if (!/application\/(json|\*)|\*\/\*/.test(accept)) {
    throw new ApiError(406, 'NotAcceptable', `only application/json can be given, but Accept is ${accept}`)
  }
  const exchange: Exchange = {
    ...options,
    request,
    response,
    query: url.searchParams,
    send: (code, body) => sendJson(response, code, body),
  }
  if (target.is === 'review') {
    if (request.method !== 'POST') throw notAllowed(`${target.review} takes POST only`)
    permitReview(target.apiVersion, target.review, user, authorize)
    const body = await parseBody(await readBody(request), mediaType(request))
    return sendJson(response, 201, answerReview(target.apiVersion, target.review, body, user, options.tokens, options.authorize))
  }
  permit(request, target, user, url.searchParams, authorize)
  return target.is === 'collection' ? serveCollection(target, exchange) : serveObject(target, exchange)
}

function authenticate(request: IncomingMessage, tokens: Tokens): User {
  const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
  if (!token) throw unauthorized()
  const result = tokens.authenticate(token)
  if ('error' in result) throw unauthorized()
  return result.user
}

const verbs: Record<string, string> = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete', GET: 'get', HEAD: 'get' }

function permit(
  request: IncomingMessage,
  target: Extract<Target, { is: 'collection' | 'object' }>,
  user: User,
  query: URLSearchParams,
  authorize: Authorizer,
): void {
  const { resource, namespace } = target
  const method = verbs[request.method ?? ''] ?? raise(badRequest(`method ${request.method}: use GET, POST, PUT, PATCH or DELETE`))
  const onMany = { get: query.get('watch') ? 'watch' : 'list', delete: 'deletecollection' }[method] ?? method
  // A list or watch of one object counts as a request for it, as upstream's request info has it.
  const selected = /^metadata\.name==?([^=,]+)$/.exec(query.get('fieldSelector') ?? '')?.[1] ?? ''
  const name = target.is === 'object' ? target.name : selected
  const attributes = {
    verb: target.is === 'object' ? method : onMany,
    group: resource.group,
    resource: resource.resource,
    ...(namespace && { namespace }),
    ...(name && { name }),
    ...(target.is === 'object' && target.subresource && { subresource: target.subresource }),
  }
  if (authorize(user, attributes).allowed) return
  const where = namespace ? ` in the namespace "${namespace}"` : ' at the cluster scope'
  throw forbidden(
    resource,
    name,
    `User "${user.username}" cannot ${attributes.verb} resource "${resource.resource}" in API group "${resource.group}"${where}`,
  )
}

/** Whoever asks about others must be allowed to; about oneself everybody may ask. */
function permitReview(apiVersion: string, kind: string, user: User, authorize: Authorizer): void {
  if (kind.startsWith('Self')) return
  const { group, plural: resource } = reviews.find((r) => r.kind === kind && `${r.group}/v1` === apiVersion)!
  if (!authorize(user, { verb: 'create', group, resource }).allowed)
    throw forbidden(
      { group, resource },
      '',
      `User "${user.username}" cannot create resource "${resource}" in API group "${group}" at the cluster scope`,
    )
}

function sendJson(response: ServerResponse, code: number, body: unknown): void {
  const text = `${JSON.stringify(body)}\n`
  response.writeHead(code, {
    'content-type': 'application/json',
    'cache-control': 'no-cache, private',
    'content-length': Buffer.byteLength(text),
  })
  response.end(text)
}

function raise(error: ApiError): never {
  throw error
}
