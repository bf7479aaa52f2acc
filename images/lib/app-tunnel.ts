import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ClientRequest } from './app-protocol.ts'
import { endpoint } from './endpoint.ts'
import { TunnelStream } from './h2/tunnel-stream.ts'
import { HboneClient, HboneError, hboneDefaults } from './hbone.ts'
import { connectMtls, MtlsError, mtlsContext } from './mtls.ts'

/**
 * Speaks HBONE over a connection that stands, as a peer of the mesh does, with whatever certificate the request gives: that certificate's handshake,
 * then CONNECT to the request's host and port.
 * @returns the tunnel; it ends with the connection
 * @throws Error with code `ETLS` (no handshake), `HBONE_<status>` (the CONNECT was answered so) or `EHBONE` (it was not answered)
 */
export async function openTunnel(socket: Socket, { tunnel, host, port, timeoutMs }: ClientRequest & { tunnel: object }): Promise<Duplex> {
  const from = endpoint(socket.localAddress, socket.localPort)
  try {
    const { socket: secured } = await connectMtls(socket, mtlsContext(tunnel.certificate), [tunnel.server], timeoutMs)
    const client = new HboneClient(secured, hboneDefaults)
    const opened = await client.connect(endpoint(host, port), { forwarded: `for="${from}"` })
    return new TunnelStream(opened.tunnel)
  } catch (error) {
    const { message } = error as Error
    const code = error instanceof MtlsError ? 'ETLS' : error instanceof HboneError && error.status ? `HBONE_${error.status}` : 'EHBONE'
    throw Object.assign(new Error(message), { code })
  }
}
