import { ApiError, badRequest, expired } from './errors.ts'
import type { Resource } from './resources.ts'
import type { ObjectMatcher } from './selectors.ts'
import type { Storage } from './storage.ts'
import { type Page, type PageOptions, parseVersion } from './store.ts'

/**
 * A list as the API gives it. Later pages show the state of the first one's version; when the history no longer reaches back there, 410 Expired.
 * `resourceVersion` with match `Exact` is that version's state; otherwise it is only a lower bound, and the state is the newest.
 */
export function listPage(storage: Storage, resource: Resource, matches: ObjectMatcher, options: PageOptions): Page {
  const { limit = 0, resourceVersionMatch: match, resourceVersion: wanted } = options
  const from = options.continue ? readToken(options.continue, wanted) : undefined
  if (match && !['Exact', 'NotOlderThan'].includes(match))
    throw badRequest(`resourceVersionMatch ${JSON.stringify(match)}: use Exact or NotOlderThan`)
  if (match && !wanted) throw badRequest('resourceVersionMatch is forbidden unless resourceVersion is provided')
  const asked = wanted ? parseVersion(wanted) : 0
  if (asked > storage.version) throw tooLarge(asked, storage.version)
  const version = from?.version ?? (match === 'Exact' && asked > 0 ? asked : storage.version)
  const state = stateAt(storage, resource, version, from !== undefined)
  const matching = state.filter(([key, object]) => (!from || key > from.after) && matches(object))
  const page = limit > 0 ? matching.slice(0, limit) : matching
  const left = matching.length - page.length
  return {
    items: page.map(([, object]) => object),
    resourceVersion: String(version),
    ...(left > 0 && { continue: token(version, page.at(-1)![0]), remainingItemCount: left }),
  }
}

function stateAt(storage: Storage, resource: Resource, version: number, isContinued: boolean) {
  try {
    return storage.allAt(resource, version)
  } catch (error) {
    if (!isContinued || !(error instanceof ApiError)) throw error
    throw expired(
      'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.',
    )
  }
}

/** 504, as upstream: the client is ahead of the server and may try again. */
function tooLarge(asked: number, current: number): ApiError {
  return new ApiError(504, 'Timeout', `Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  })
}

const token = (version: number, after: string) =>
  Buffer.from(JSON.stringify({ v: 'everyhop/v1', rv: version, after })).toString('base64url')

function readToken(text: string, resourceVersion: string | undefined): { version: number; after: string } {
  if (resourceVersion && resourceVersion !== '0') throw badRequest('specifying resource version is not allowed when using continue')
  try {
    const { v, rv, after } = JSON.parse(Buffer.from(text, 'base64url').toString()) as { v: string; rv: number; after: string }
    if (v === 'everyhop/v1' && Number.isSafeInteger(rv) && typeof after === 'string') return { version: rv, after }
  } catch {}
  throw badRequest('continue key is not valid: use the one of the last list, unchanged')
}
