import type { IncomingMessage, ServerResponse } from 'node:http'
import { badRequest, notAllowed, notFound, type Status, unsupportedMediaType } from '../errors.ts'
import { isObject, type Json, type JsonObject } from '../json.ts'
import type { PatchOptions } from '../patching.ts'
import { apiVersionOf, type Resource, resources } from '../resources.ts'
import type { DeleteOptions, Draft, Selection, Store, WriteOptions } from '../store.ts'
import type { Tokens } from '../tokens.ts'
import type { KubeObject, Pod } from '../types.ts'
import { mediaType, parseBody, readBody } from './body.ts'
import { readableLog } from './logs.ts'
import type { Target } from './path.ts'
import { answerTokenRequest } from './reviews.ts'
import { flag, streamWatch } from './watch.ts'

/** One request on its way: what it needs of the server. */
export interface Exchange {
  readonly store: Store
  readonly tokens: Tokens
  readonly podLog: ((pod: Pod, container: string) => Promise<string> | string) | undefined
  readonly bookmarkEvery: number
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly query: URLSearchParams
  send(code: number, body: unknown): void
}

type Collection = Extract<Target, { is: 'collection' }>
type One = Extract<Target, { is: 'object' }>

const patchTypes: Record<string, PatchOptions['type']> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
}

/** Kinds of which a delete gives back the object; of others, a Status (upstream's ReturnDeletedObject). */
const returnsDeleted: ReadonlySet<Resource> = new Set<Resource>([resources.pods, resources.services, resources.serviceaccounts])

export async function serveCollection({ resource, namespace }: Collection, exchange: Exchange): Promise<void> {
  const { store, query, request, send } = exchange
  const selection = selectionOf(query, namespace)
  switch (request.method) {
    case 'GET':
      if (flag(query, 'watch')) return streamWatch(exchange.response, store, resource, selection, query, exchange.bookmarkEvery)
      return send(200, listOf(exchange, resource, selection))
    case 'POST': {
      if (resource.namespaced && !namespace)
        throw notAllowed(`to create ${resource.resource}, post to /namespaces/NAMESPACE/${resource.resource}`)
      const object = withNamespace(await objectBody(exchange), resource, namespace)
      return send(201, store.create(resource, object as unknown as Draft<KubeObject>, writeOptions(query)))
    }
    case 'DELETE': {
      const options = await deleteOptions(exchange)
      const items = store.list(resource, selection).map((object) => store.delete(resource, object.metadata, options).object)
      return send(200, {
        kind: `${resource.kind}List`,
        apiVersion: apiVersionOf(resource),
        metadata: { resourceVersion: store.resourceVersion },
        items,
      })
    }
    default:
      throw notAllowed(`${request.method} is not supported on a collection: use GET, POST or DELETE`)
  }
}

export async function serveObject(target: One, exchange: Exchange): Promise<void> {
  const { resource, name, namespace, subresource } = target
  const { store, query, request, send } = exchange
  const ref = { name, namespace }
  if (subresource === 'log' || subresource === 'token') return serveExtra(target, exchange)
  const options = { ...writeOptions(query), ...(subresource && { subresource: subresource as 'status' | 'finalize' }) }
  switch (request.method) {
    case 'GET':
      if (flag(query, 'watch')) {
        const selection = { ...selectionOf(query, namespace), fieldSelector: `metadata.name=${name}` }
        return streamWatch(exchange.response, store, resource, selection, query, exchange.bookmarkEvery)
      }
      return send(200, store.get(resource, ref))
    case 'PUT': {
      const object = withNamespace(await objectBody(exchange), resource, namespace)
      const sent = (object.metadata as JsonObject).name
      if (sent !== name) throw badRequest(`the name of the object (${sent ?? ''}) does not match the name on the URL (${name})`)
      return send(200, store.update(resource, object as unknown as Draft<KubeObject>, options))
    }
    case 'PATCH': {
      const type = patchTypes[mediaType(request)]
      if (!type)
        throw unsupportedMediaType(
          `the body of the request was in an unknown format - accepted media types include: ${Object.keys(patchTypes).join(', ')}`,
        )
      const patch = await parseBody(await readBody(request), mediaType(request))
      const isNew = store.find(resource, ref) === undefined
      const fieldManager = query.get('fieldManager') ?? undefined
      const patched = store.patch(resource, ref, patch, { ...options, type, fieldManager, force: flag(query, 'force') })
      return send(isNew ? 201 : 200, patched)
    }
    case 'DELETE': {
      if (subresource) throw notAllowed('a subresource cannot be deleted')
      const { object, gone } = store.delete(resource, ref, await deleteOptions(exchange))
      return send(200, gone && !returnsDeleted.has(resource) ? deleted(resource, object) : object)
    }
    default:
      throw notAllowed(`${request.method} is not supported on an object: use GET, PUT, PATCH or DELETE`)
  }
}

async function serveExtra({ resource, name, namespace, subresource }: One, exchange: Exchange): Promise<void> {
  const { store, query, request, response, send } = exchange
  const ref = { name, ...(namespace && { namespace }) }
  if (subresource === 'token') {
    if (request.method !== 'POST') throw notAllowed('serviceaccounts/token takes POST only')
    return send(201, answerTokenRequest(await objectBody(exchange), ref, exchange.tokens))
  }
  if (request.method !== 'GET') throw notAllowed('pods/log takes GET only')
  const pod = store.get(resource, ref) as Pod
  const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].map((container) => container.name)
  const container = query.get('container') ?? containers[0]!
  if (!containers.includes(container))
    throw badRequest(`container ${container} is not valid for pod ${name}: it has ${containers.join(', ')}`)
  if (!exchange.podLog) throw notFound(resource, `${name}/log`)
  const text = readableLog(await exchange.podLog(pod, container), query)
  response.writeHead(200, { 'content-type': 'text/plain' }).end(text)
}

function listOf({ store, query }: Exchange, resource: Resource, selection: Selection): object {
  const limit = Number(query.get('limit') ?? '0')
  if (!Number.isInteger(limit) || limit < 0) throw badRequest(`limit ${JSON.stringify(query.get('limit'))}: must be a number, 0 or more`)
  const page = store.listPage(resource, {
    ...selection,
    limit,
    continue: query.get('continue') ?? undefined,
    resourceVersion: query.get('resourceVersion') ?? undefined,
    resourceVersionMatch: query.get('resourceVersionMatch') ?? undefined,
  })
  const counted = page.remainingItemCount !== undefined && !selection.labelSelector && !selection.fieldSelector
  const metadata = {
    resourceVersion: page.resourceVersion,
    ...(page.continue && { continue: page.continue }),
    ...(counted && { remainingItemCount: page.remainingItemCount }),
  }
  // Items of built-in kinds come without kind and apiVersion, those of custom resources with them, as upstream's encoders have it.
  const items = resource.custom ? page.items : page.items.map(({ kind: _kind, apiVersion: _version, ...rest }) => rest)
  return { kind: `${resource.kind}List`, apiVersion: apiVersionOf(resource), metadata, items }
}

function selectionOf(query: URLSearchParams, namespace: string | undefined): Selection {
  return { namespace, labelSelector: query.get('labelSelector') ?? undefined, fieldSelector: query.get('fieldSelector') ?? undefined }
}

function writeOptions(query: URLSearchParams): WriteOptions {
  const asked = query.getAll('dryRun').filter((value) => value !== '')
  if (asked.some((value) => value !== 'All')) throw badRequest(`dryRun ${JSON.stringify(asked)}: only All is supported`)
  return { dryRun: asked.length > 0 }
}

async function objectBody({ request }: Exchange): Promise<JsonObject> {
  const body: Json = await parseBody(await readBody(request), mediaType(request))
  if (!isObject(body)) throw badRequest('the request body must be an object')
  return body
}

function withNamespace(object: JsonObject, resource: Resource, namespace: string | undefined): JsonObject {
  const metadata = object.metadata ?? {}
  if (!isObject(metadata)) throw badRequest('metadata must be an object')
  if (!resource.namespaced) return { ...object, metadata }
  if (metadata.namespace && metadata.namespace !== namespace) {
    throw badRequest(
      `the namespace of the provided object does not match the namespace sent on the request: ${metadata.namespace} is not ${namespace}`,
    )
  }
  return { ...object, metadata: { ...metadata, namespace: namespace! } }
}

async function deleteOptions({ request, query }: Exchange): Promise<DeleteOptions> {
  const text = await readBody(request)
  const body = text.trim() === '' ? {} : await parseBody(text, mediaType(request))
  if (!isObject(body)) throw badRequest('the body of a delete must be DeleteOptions')
  const grace = body.gracePeriodSeconds ?? (query.has('gracePeriodSeconds') ? Number(query.get('gracePeriodSeconds')) : undefined)
  if (grace !== undefined && !(Number.isInteger(grace) && Number(grace) >= 0))
    throw badRequest('gracePeriodSeconds must be a number, 0 or more')
  const orphan = body.orphanDependents ?? (query.has('orphanDependents') ? flag(query, 'orphanDependents') : undefined)
  const policy =
    body.propagationPolicy ?? query.get('propagationPolicy') ?? (orphan === undefined ? undefined : orphan ? 'Orphan' : 'Background')
  if (policy !== undefined && !['Foreground', 'Background', 'Orphan'].includes(String(policy))) {
    throw badRequest(`propagationPolicy ${JSON.stringify(policy)}: use Foreground, Background or Orphan`)
  }
  return {
    ...(grace !== undefined && { gracePeriodSeconds: Number(grace) }),
    ...(isObject(body.preconditions) && { preconditions: body.preconditions as NonNullable<DeleteOptions['preconditions']> }),
    ...(policy !== undefined && { propagationPolicy: policy as NonNullable<DeleteOptions['propagationPolicy']> }),
    ...(Array.isArray(body.dryRun) && body.dryRun.length > 0 ? { dryRun: true } : writeOptions(query)),
  }
}

function deleted({ resource, group }: Resource, { metadata }: KubeObject): Omit<Status, 'code'> {
  const details = { name: metadata.name, ...(group && { group }), kind: resource, uid: metadata.uid! }
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details }
}
