import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Certificate } from '../lib/app-protocol.ts'
import { TunnelStream } from '../lib/h2/tunnel-stream.ts'
import { hboneDefaults, serveHbone } from '../lib/hbone.ts'
import { defaultTrustDomain } from '../lib/identity.ts'
import { acceptMtls, mtlsContext } from '../lib/mtls.ts'

const handshakeTimeout = 5_000

/** A pod that speaks HBONE by itself, with any certificate it is given: every CONNECT is accepted, and its bytes go to the pod's own port of that number. */
export class HboneListener {
  readonly #server: Server
  readonly #connections = new Set<Socket>()

  private constructor(certificate: Certificate) {
    const context = mtlsContext(certificate)
    this.#server = createServer({ allowHalfOpen: true }, async (raw) => {
      this.#connections.add(raw)
      raw.once('close', () => this.#connections.delete(raw))
      try {
        const { socket } = await acceptMtls(raw, context, defaultTrustDomain, handshakeTimeout)
        const session = serveHbone(
          socket,
          hboneDefaults,
          (request) => {
            const tunnel = request.accept()
            if (tunnel) void relay(new TunnelStream(tunnel), Number(request.authority.slice(request.authority.lastIndexOf(':') + 1)))
          },
          () => {},
        )
        await session.closed
      } catch {
        // The peer did not like what it was shown, or we not it: it is told by the end of the connection.
        raw.destroy()
      }
    })
  }

  /** @throws the listener's error */
  static async open(port: number, certificate: Certificate): Promise<HboneListener> {
    const listener = new HboneListener(certificate)
    listener.#server.listen({ port })
    await once(listener.#server, 'listening')
    return listener
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port
  }

  /** Stops listening and ends its connections. */
  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#connections) socket.destroy()
    await closed
  }
}

async function relay(tunnel: Duplex, port: number): Promise<void> {
  const app = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
  // Either side may go away in the middle: then the other has nobody to talk to.
  await Promise.allSettled([pipeline(tunnel, app, { end: true }), pipeline(app, tunnel, { end: true })])
}
