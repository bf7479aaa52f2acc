import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect as connectHttp2, constants } from 'node:http2'
import type { Duplex } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { type ClientRequest, type ClientResult, type Exchange, greeting } from './app-protocol.ts'
import { bulk } from './bulk.ts'
import { request as httpRequest } from './node-http.ts'

/** What becomes known of a request on the way; kept when it fails. */
export type Seen = { -readonly [K in keyof ClientResult]?: ClientResult[K] }

/** Longest answer that is kept, bytes. */
const maxAnswer = 64 * 1024 * 1024

export function fault(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}

export async function overHttp(socket: Duplex, request: ClientRequest, seen: Seen): Promise<void> {
  const body = Buffer.from(request.body)
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const headers = { host: authority(request), 'content-type': 'text/plain', 'content-length': body.length, connection: 'close' }
  // With createConnection and no agent the connection is this request's own.
  const outgoing = httpRequest({ method: 'POST', path: request.path ?? '/anything', headers, createConnection: () => socket })
  outgoing.on('error', reject)
  outgoing.once('response', resolve)
  outgoing.end(body)
  const response = await promise
  await take(response.statusCode ?? 0, response, seen)
}

/** HTTP/2 with prior knowledge (RFC 9113 3.3): the preface is the first that is sent. */
export async function overHttp2(socket: Duplex, request: ClientRequest, seen: Seen): Promise<void> {
  const session = connectHttp2(`http://${authority(request)}`, { createConnection: () => socket })
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  session.on('error', reject)
  session.on('close', () => reject(fault('ECONNRESET', 'the connection closed before the answer')))
  try {
    const stream = session.request({ ':method': 'POST', ':path': request.path ?? '/anything', 'content-type': 'text/plain' })
    stream.on('error', reject)
    stream.once('response', (headers) => resolve(Number(headers[constants.HTTP2_HEADER_STATUS])))
    stream.once('close', () => reject(fault('ECONNRESET', 'the stream closed before it was answered')))
    stream.end(request.body)
    await take(await promise, stream, seen)
    const closed = once(session, 'close')
    session.close()
    await closed
  } finally {
    session.destroy()
  }
}

const authority = ({ host, port }: ClientRequest) => `${host.includes(':') ? `[${host}]` : host}:${port}`

async function take(status: number, answer: AsyncIterable<Buffer>, seen: Seen): Promise<void> {
  seen.status = status
  seen.body = (await text(answer)).toString()
  if (status < 200 || status > 299) throw fault(`HTTP_${status}`, `the server answered with status ${status}`)
}

/** Raw TCP, as the exchange says. */
export function overTcp(socket: Duplex, request: ClientRequest, seen: Seen): Promise<void> {
  return exchanges[request.exchange ?? 'echo'](socket, request.body, seen)
}

const exchanges: Readonly<Record<Exchange, (socket: Duplex, body: string, seen: Seen) => Promise<void>>> = {
  echo: sendAndClose,
  'client-half-close': sendAndClose,
  'server-half-close': async (socket, body, seen) => {
    const line = `${body}\n`
    socket.write(line)
    // All that the server says, to its end; our own side stays open.
    compare(seen, await text(socket), line)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    socket.once('close', () => (socket.errored ? reject(fault('ECONNRESET', 'reset while the second line was sent')) : resolve()))
    socket.end(line)
    await promise
  },
  'server-first': async (socket, body, seen) => {
    const incoming = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    let heard = Buffer.alloc(0)
    const more = async () => {
      const { done, value } = await incoming.next()
      if (!done) heard = Buffer.concat([heard, value])
      return !done
    }
    while (heard.length < greeting.length)
      if (!(await more())) throw fault('EECHO', `the server ended after ${heard.length} bytes, before it had greeted`)
    socket.end(body)
    while (heard.length <= maxAnswer && (await more()));
    compare(seen, heard, `${greeting}${body}`)
  },
  bulk: async (socket, body, seen) => {
    const { same, sent, received, first, last } = await bulk(socket, body)
    Object.assign(seen, { sent, received, body: `${first}…${last}` })
    if (!same) throw fault('EECHO', `other bytes came back than were sent: SHA-256 ${received.sha256}, not ${sent.sha256}`)
  },
}

async function sendAndClose(socket: Duplex, body: string, seen: Seen): Promise<void> {
  socket.end(body)
  compare(seen, await text(socket), body)
}

function compare(seen: Seen, echo: Buffer, wanted: string): void {
  seen.body = echo.toString()
  if (seen.body !== wanted)
    throw fault('EECHO', `the connection ended with ${echo.length} bytes echoed, not the ${Buffer.byteLength(wanted)} that were expected`)
}

async function text(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  let length = 0
  const limited = async function* () {
    for await (const chunk of stream) {
      length += chunk.length
      if (length > maxAnswer) throw fault('EMSGSIZE', `the answer is longer than ${maxAnswer} bytes`)
      yield chunk
    }
  }
  return buffer(limited())
}
