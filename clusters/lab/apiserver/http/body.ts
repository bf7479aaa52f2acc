import type { IncomingMessage } from 'node:http'
import { ApiError, badRequest, unsupportedMediaType } from '../errors.ts'
import type { Json } from '../json.ts'

/** Largest body that is read; upstream's limit for JSON and YAML. */
const limit = 3 * 1024 * 1024

/** The media type of the body, in lower case without parameters; none: JSON, as upstream. */
export function mediaType(request: IncomingMessage): string {
  return (request.headers['content-type'] ?? 'application/json').split(';')[0]!.trim().toLowerCase()
}

/** @throws ApiError 413 */
export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) throw new ApiError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${limit}`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/**
 * Reads JSON or YAML. Errors name line and column.
 * @throws ApiError 400, 415
 */
export async function parseBody(text: string, type: string): Promise<Json> {
  if (text.trim() === '') throw badRequest('the request body is empty: send the object')
  if (type === 'application/yaml' || type.endsWith('+yaml')) return parseYaml(text)
  if (type !== 'application/json' && !type.endsWith('+json')) {
    throw unsupportedMediaType(
      `the body of the request was in an unknown format - accepted media types include: application/json, application/yaml (sent: ${type})`,
    )
  }
  try {
    return JSON.parse(text) as Json
  } catch (error) {
    throw badRequest(`the request body is not JSON: ${(error as Error).message}${place(text, error as Error)}`)
  }
}

/** V8 tells line and column only of short texts. */
function place(text: string, error: Error): string {
  if (/line \d+/.test(error.message)) return ''
  const position = /position (\d+)/.exec(error.message)?.[1]
  const before = text.slice(0, position === undefined ? text.length : Number(position)).split('\n')
  return ` (line ${before.length} column ${before.at(-1)!.length + 1})`
}

async function parseYaml(text: string): Promise<Json> {
  if (text.trimStart().startsWith('{')) {
    try {
      return JSON.parse(text) as Json
    } catch {}
  }
  const { parseDocument } = await import('yaml')
  const document = parseDocument(text)
  const [first] = document.errors
  if (first) {
    const [at] = first.linePos ?? []
    throw badRequest(`the request body is not YAML: line ${at?.line ?? 1} column ${at?.col ?? 1}: ${first.message.split('\n')[0]}`)
  }
  try {
    return document.toJS() as Json
  } catch (error) {
    throw badRequest(`the request body is not YAML that can be used: ${(error as Error).message}`)
  }
}
