import { lookup } from 'node:dns/promises'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect, isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ClientRequest, ClientResult } from './app-protocol.ts'
import { openTunnel } from './app-tunnel.ts'
import { unmapped } from './endpoint.ts'

type Phase = NonNullable<ClientResult['error']>['phase']

/** Longest answer that is kept, bytes. */
const maxAnswer = 64 * 1024 * 1024

/**
 * Does one request over a TCP connection of its own, from the network namespace of this process. Never throws: what goes wrong is in the result.
 * `ok` means: HTTP answered completely with a 2xx status; TCP echoed exactly what was sent and ended.
 * Error codes: Node's own (ECONNREFUSED, ECONNRESET, ENOTFOUND …), ETIMEDOUT for the request's own time-out too, `HTTP_<status>` for another status, EECHO for a wrong or short echo.
 */
export async function doRequest(request: ClientRequest): Promise<ClientResult> {
  const startedAt = now()
  let phase: Phase = 'resolve'
  let socket: Socket | undefined
  const seen: Partial<Writable<ClientResult>> = {}
  const timeOut = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => timeOut.reject(fault('ETIMEDOUT', `no end after ${request.timeoutMs} ms (phase: ${phase})`)),
    request.timeoutMs,
  )
  const steps = async () => {
    const { tunnel } = request
    const [name, port] = tunnel ? partsOf(tunnel.endpoint) : [request.host, request.port]
    const host = isIP(name) ? name : (await lookup(name)).address
    phase = 'connect'
    socket = connect({ host, port, allowHalfOpen: true, noDelay: true })
    await connected(socket, (port) => {
      seen.localPort = port
    })
    seen.connectedAt = now()
    Object.assign(seen, ends(socket))
    if (tunnel) phase = 'tunnel'
    const carrier = tunnel ? await openTunnel(socket, { ...request, tunnel }) : socket
    phase = 'request'
    await (request.protocol === 'http' ? overHttp(carrier, request, seen) : overTcp(carrier, request, seen))
  }
  try {
    await Promise.race([steps(), timeOut.promise])
    return { id: request.id, ok: true, ...seen, startedAt, endedAt: now() }
  } catch (error) {
    const { code = 'EUNKNOWN', message } = error as NodeJS.ErrnoException
    return { id: request.id, ok: false, ...seen, error: { code, message, phase }, startedAt, endedAt: now() }
  } finally {
    clearTimeout(timer)
    socket?.destroy()
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** Wall clock, milliseconds since 1970 with fractions. */
function now(): number {
  return performance.timeOrigin + performance.now()
}

function partsOf(endpoint: string): [host: string, port: number] {
  const colon = endpoint.lastIndexOf(':')
  return [endpoint.slice(0, colon), Number(endpoint.slice(colon + 1))]
}

function fault(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}

/** Waits for the connection; tells the local port as soon as the kernel has chosen it, so that a refused connection can be found in the captures too. */
function connected(socket: Socket, onPort: (port: number) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('connect', resolve)
  socket.on('error', reject)
  socket.once('connectionAttempt', () =>
    process.nextTick(() => {
      // Node's public localPort is empty until the connection stands; the handle's getsockname is what fills it later.
      const name: { port?: number } = {}
      const { _handle: handle } = socket as unknown as { _handle?: { getsockname?(name: object): number } }
      handle?.getsockname?.(name)
      if (name.port) onPort(name.port)
    }),
  )
  return promise
}

function ends(socket: Socket): Partial<ClientResult> {
  const { localAddress, localPort, remoteAddress, remotePort } = socket
  if (localAddress === undefined || localPort === undefined || remoteAddress === undefined || remotePort === undefined) return {}
  return { localAddress: unmapped(localAddress), localPort, remoteAddress: unmapped(remoteAddress), remotePort }
}

async function overHttp(socket: Duplex, request: ClientRequest, seen: Partial<Writable<ClientResult>>): Promise<void> {
  const body = Buffer.from(request.body)
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const headers = {
    host: `${request.host.includes(':') ? `[${request.host}]` : request.host}:${request.port}`,
    'content-type': 'text/plain',
    'content-length': body.length,
    connection: 'close',
  }
  // With createConnection and no agent the connection is this request's own.
  const outgoing = httpRequest({ method: 'POST', path: request.path ?? '/anything', headers, createConnection: () => socket })
  outgoing.on('error', reject)
  outgoing.once('response', resolve)
  outgoing.end(body)
  const response = await promise
  seen.status = response.statusCode ?? 0
  seen.body = (await text(response)).toString()
  if (seen.status < 200 || seen.status > 299) throw fault(`HTTP_${seen.status}`, `the server answered with status ${seen.status}`)
}

async function overTcp(socket: Duplex, request: ClientRequest, seen: Partial<Writable<ClientResult>>): Promise<void> {
  const body = Buffer.from(request.body)
  socket.end(body)
  const echo = await text(socket)
  seen.body = echo.toString()
  if (!echo.equals(body))
    throw fault('EECHO', `the connection ended with ${echo.length} bytes echoed, not the ${body.length} that were sent`)
}

async function text(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of stream) {
    chunks.push(chunk)
    length += chunk.length
    if (length > maxAnswer) throw fault('EMSGSIZE', `the answer is longer than ${maxAnswer} bytes`)
  }
  return Buffer.concat(chunks)
}
