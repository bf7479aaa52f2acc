import { randomInt } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { ApiError, badRequest } from '../errors.ts'
import { apiVersionOf, type Resource } from '../resources.ts'
import type { Selection, Store } from '../store.ts'

/** A watcher that lets this much pile up unread is cut off: it must list and watch again. */
const maxBacklog = 64 * 1024 * 1024

/** @param bookmarkEvery milliseconds between bookmarks of a quiet watch (upstream: a minute) */
export function streamWatch(
  response: ServerResponse,
  store: Store,
  resource: Resource,
  selection: Selection,
  query: URLSearchParams,
  bookmarkEvery: number,
): void {
  const bookmarks = flag(query, 'allowWatchBookmarks')
  const initialEvents = query.get('sendInitialEvents')
  if (initialEvents !== null && query.get('resourceVersionMatch') !== 'NotOlderThan') {
    throw badRequest('sendInitialEvents requires resourceVersionMatch=NotOlderThan')
  }
  if (initialEvents === null && query.get('resourceVersionMatch')) {
    throw badRequest('resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided')
  }
  const wanted = query.get('resourceVersion') ?? ''
  const withInitial = initialEvents === 'true' || initialEvents === '1'
  const quiet = initialEvents !== null && !withInitial && (wanted === '' || wanted === '0')
  const resourceVersion = withInitial ? undefined : quiet ? store.resourceVersion : wanted
  // At most what a timer can hold (2^31 ms).
  const seconds = Math.min(Number(query.get('timeoutSeconds') ?? '0') || randomInt(1800, 3600), 2_000_000)

  let stop = () => {}
  const end = () => {
    stop()
    clearInterval(ticking)
    clearTimeout(ending)
    if (!response.writableEnded) response.end()
  }
  const send = (type: string, object: unknown) => {
    response.write(`${JSON.stringify({ type, object })}\n`)
    if (response.writableLength > maxBacklog) response.destroy()
  }
  const bookmark = (annotations?: Record<string, string>) =>
    send('BOOKMARK', {
      kind: resource.kind,
      apiVersion: apiVersionOf(resource),
      metadata: { resourceVersion: store.resourceVersion, creationTimestamp: null, ...(annotations && { annotations }) },
    })
  const ticking = setInterval(() => bookmarks && bookmark(), bookmarkEvery).unref()
  const ending = setTimeout(() => {
    if (bookmarks) bookmark()
    end()
  }, seconds * 1000).unref()
  response.on('close', end)

  response.writeHead(200, { 'content-type': 'application/json' })
  response.flushHeaders()
  try {
    stop = store.watch(resource, { ...selection, resourceVersion }, ({ type, object }) => send(type, object))
    if (withInitial && bookmarks) bookmark({ 'k8s.io/initial-events-end': 'true' })
  } catch (error) {
    // As upstream's watch cache: once a watch was granted, what is wrong with its version comes as an event.
    if (!(error instanceof ApiError)) throw error
    send('ERROR', error.status)
    end()
  }
}

export function flag(query: URLSearchParams, name: string): boolean {
  const value = query.get(name)
  return value !== null && value !== 'false' && value !== '0'
}
