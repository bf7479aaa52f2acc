import { once } from 'node:events'
import { createServer, connect as dial, type Socket } from 'node:net'
import { afterEach } from 'vitest'
import type { Headers } from '../message.ts'
import { ServerConnection } from '../server-connection.ts'
import type { Tunnel } from '../tunnel.ts'
import { TunnelStream } from '../tunnel-stream.ts'

export const options = { windowSize: 1 << 20, connectionWindowSize: 4 << 20, frameSize: 1 << 20, maxHeaderList: 16 << 10 }

/** Destroyed after each test. */
export const open: { destroy(): void }[] = []
afterEach(() => {
  for (const what of open.splice(0)) what.destroy()
})

/** Two ends of a TCP connection: what carries the bytes makes no difference to HTTP/2. */
export async function pair(): Promise<{ client: Socket; server: Socket }> {
  const listener = createServer()
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const client = dial((listener.address() as { port: number }).port, '127.0.0.1')
  const [server] = (await once(listener, 'connection')) as [Socket]
  await (client.connecting ? once(client, 'connect') : undefined)
  listener.close()
  for (const socket of [client, server]) open.push(socket.on('error', () => {}))
  return { client, server }
}

/** Our server; what it was asked for and why it ended come as promises. */
export function serve(
  socket: Socket,
  onRequest: (tunnel: Tunnel, headers: Headers, made: ServerConnection) => void,
  overrides: Partial<typeof options> = {},
) {
  const failed = Promise.withResolvers<Error>()
  const ended = Promise.withResolvers<void>()
  const made: ServerConnection = new ServerConnection(socket, { ...options, ...overrides }, 3, {
    onRequest: (headers, tunnel) => onRequest(tunnel, headers, made),
    onError: failed.resolve,
    onClose: ended.resolve,
  })
  return { made, failed: failed.promise, ended: ended.promise }
}

export const accept = (tunnel: Tunnel, made: ServerConnection) => {
  made.respond(tunnel, [[':status', '200']], false)
  return new TunnelStream(tunnel).on('error', () => {})
}
/** However it ends. */
export const closed = (stream: NodeJS.EventEmitter) => new Promise<void>((resolve) => stream.once('close', resolve))

/** All that came. */
export async function digest(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = []
  for await (const chunk of stream) all.push(chunk)
  return Buffer.concat(all)
}
