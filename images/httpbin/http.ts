import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import type { Server as TcpServer } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { createServer, STATUS_CODES } from '../lib/node-http.ts'
import { endsOf, Received } from './served.ts'

/** Longest body that is echoed, bytes. */
const maxBody = 64 * 1024 * 1024
/** A connection may stand idle so long: while the mesh is changed under it, on a machine that is busy. Node's own is 5 s. Milliseconds. */
const keptFor = 300_000

interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly ends: { readonly peer: string; readonly local: string }
  readonly path: string
  /** What follows the route's first segment. */
  readonly argument: string
  readonly body: Buffer
}

const routes: Readonly<Record<string, (call: Call) => Promise<void> | void>> = { anything, delay, reset, stream, status }

/** HTTP/1 echo. Every request but `/healthz` is logged when its whole body is here, before it is answered. */
export function httpServer(): Server {
  const server = createServer((request, response) => take('http', request, response))
  server.keepAliveTimeout = keptFor
  return server
}

/** HTTP/2 echo with prior knowledge (no TLS, no upgrade): the same routes, but `/reset`, which is a connection's end and not a stream's. */
export function http2Server(): TcpServer {
  // Node's compatibility layer has what is used here of a request and a response.
  return createHttp2Server((request, response) =>
    take('http2', request as unknown as IncomingMessage, response as unknown as ServerResponse),
  )
}

function take(protocol: 'http' | 'http2', request: IncomingMessage, response: ServerResponse): void {
  serve(protocol, request, response).catch((error: Error) => {
    if (response.headersSent) response.destroy(error)
    else sendJson(response, 500, { error: error.message })
  })
}

async function serve(protocol: 'http' | 'http2', request: IncomingMessage, response: ServerResponse): Promise<void> {
  const ends = endsOf(request.socket)
  const path = request.url ?? '/'
  const [, route = '', argument = ''] = path.replace(/\?.*$/s, '').split('/')
  const received = new Received()
  const chunks: Buffer[] = []
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      received.add(chunk)
      if (received.bytes <= maxBody) chunks.push(chunk)
    }
  } catch {
    return // the peer went away in the middle of its request: not served, nobody to answer
  }
  if (route === 'healthz') return sendText(response, 200, 'ok\n')
  received.log(protocol, ends)
  if (received.bytes > maxBody) return sendJson(response, 413, { error: `body longer than ${maxBody} bytes` })
  const handle = Object.hasOwn(routes, route) ? routes[route] : undefined
  if (!handle) return sendJson(response, 404, { error: `no such path: ${path}`, paths: ['healthz', ...Object.keys(routes)] })
  await handle({ request, response, ends, path, argument, body: Buffer.concat(chunks) })
}

/** GET or POST /anything: what was seen of the request, as JSON. */
function anything({ request, response, ends, path, body }: Call): void {
  if (request.method !== 'GET' && request.method !== 'POST') sendJson(response, 405, { error: 'use GET or POST' })
  else sendJson(response, 200, { ...ends, method: request.method, path, headers: request.headers, body: body.toString() })
}

/** /delay/MS: answers, with the body, after that many milliseconds, at most an hour. */
async function delay({ response, argument, body }: Call): Promise<void> {
  const ms = wholeNumber(argument, 3_600_000)
  if (ms === undefined) return sendJson(response, 400, { error: 'use /delay/MS with MS from 0 to 3600000' })
  await wait(ms, undefined, { ref: false })
  sendJson(response, 200, { delayed: ms, body: body.toString() })
}

/** /reset: ends the connection with a TCP RST instead of an answer. */
function reset({ request }: Call): void {
  request.socket.resetAndDestroy()
}

/** /stream/N: N lines of JSON as HTTP chunks, at most a million. */
async function stream({ response, argument }: Call): Promise<void> {
  const count = wholeNumber(argument, 1_000_000)
  if (count === undefined) return sendJson(response, 400, { error: 'use /stream/N with N from 0 to 1000000' })
  response.writeHead(200, { 'content-type': 'application/json' })
  for (let n = 0; n < count && !response.destroyed; n++) {
    if (response.write(`{"n":${n}}\n`)) continue
    const { promise, resolve } = Promise.withResolvers<void>()
    response.once('drain', resolve).once('close', resolve)
    await promise
    response.off('drain', resolve).off('close', resolve)
  }
  response.end()
}

/** /status/CODE: answers with that status, 200 to 599. */
function status({ response, argument }: Call): void {
  const code = wholeNumber(argument, 599)
  if (code === undefined || code < 200) sendJson(response, 400, { error: 'use /status/CODE with CODE from 200 to 599' })
  else sendText(response, code, code === 204 || code === 304 ? '' : `${code} ${STATUS_CODES[code] ?? ''}\n`)
}

function wholeNumber(text: string, most: number): number | undefined {
  return /^\d{1,7}$/.test(text) && Number(text) <= most ? Number(text) : undefined
}

function sendJson(response: ServerResponse, code: number, value: object): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(`${JSON.stringify(value)}\n`)
}

function sendText(response: ServerResponse, code: number, value: string): void {
  response.writeHead(code, { 'content-type': 'text/plain' }).end(value)
}
