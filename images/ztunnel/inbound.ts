import type { Socket } from 'node:net'
import { type HboneRequest, type HboneServer, serveHbone } from '../lib/hbone.ts'
import type { Identity } from '../lib/identity.ts'
import { acceptMtls } from '../lib/mtls.ts'
import { type Address, canonicalAddress, formatAddress } from './address.ts'
import { connectTimeout } from './config.ts'
import { carry, dial, noOwnWorkload, ownIdentity, ownWorkload, type ProxyContext, peerOf } from './context.ts'
import { hboneOptions } from './hbone-options.ts'
import { baggage, forwardedHost } from './headers.ts'
import { bare } from './log.ts'
import type { ResponseFlag } from './metrics/traffic.ts'
import { SocketEnd } from './socket-end.ts'
import { guessService, inboundTarget } from './target.ts'
import { rejection, wardFor } from './ward.ts'

interface Arrival {
  readonly from: Address
  /** Pod address and port 15008. */
  readonly at: Address
  readonly peer: Identity
}

/**
 * Takes a connection to 15008: handshake, then tunnels until it closes. Never rejects.
 * @param onServer is handed the HTTP/2 side as soon as it stands
 */
export async function handleInbound(context: ProxyContext, raw: Socket, onServer: (server: HboneServer) => void): Promise<void> {
  const from = peerOf(raw)
  const at = { address: canonicalAddress(raw.localAddress ?? '') ?? '', port: raw.localPort ?? 0 }
  raw.on('error', () => {})
  if (!from) return void raw.destroy()
  try {
    const tls = await context.certificates.context(await ownIdentity(context))
    const { socket, peer } = await acceptMtls(raw, tls, context.config.trustDomain, connectTimeout)
    if (context.stopped.aborted) return void socket.destroy()
    const server = serveHbone(
      socket,
      hboneOptions(context.config),
      (request) => void context.connections.during(serveRequest(context, { from, at, peer }, request)),
      (error) =>
        context.log('warn', 'proxy::inbound', 'http2 connection failed', { 'src.addr': bare(formatAddress(from)), error: error.message }),
    )
    onServer(server)
    await server.closed
  } catch (error) {
    context.access.refused('inbound', from, at, (error as Error).message)
    raw.destroy()
  }
}

async function serveRequest(context: ProxyContext, { from, at, peer }: Arrival, request: HboneRequest): Promise<void> {
  const startedAt = performance.now()
  const early = (status: number, error: string) => {
    context.access.refused('inbound', from, at, error)
    request.refuse(status)
  }
  if (request.method !== 'CONNECT') return early(400, `expected method CONNECT, got ${request.method}`)
  const own = await ownWorkload(context)
  if (!own) return early(503, noOwnWorkload)
  const target = inboundTarget(context.state, own, at.address, request.authority)
  if (target.error !== undefined) return early(target.status, target.error)
  const { to } = target
  const named = forwardedHost(request.headers.forwarded)
  const report = context.access.begin(
    {
      direction: 'inbound',
      from,
      to: at,
      source: context.state.workloadAt(own.network, from.address),
      sourceIdentity: peer,
      destination: own,
      destinationIdentity: context.self.identity(),
      hboneAddress: request.authority,
      service: guessService(context.state, own, target.services, to.port, named),
    },
    startedAt,
  )
  const fail = (status: number, error: string, flag: ResponseFlag) => {
    report.end(error, flag)
    request.refuse(status)
  }
  const recheck = wardFor(context, { identity: peer, sourceIp: from.address, destinationIp: to.address, destinationPort: to.port })
  const denial = recheck()
  if (denial !== undefined) return fail(401, rejection(denial), 'DENY')
  let near: Socket
  try {
    near = await dial(context, to, from.address === to.address ? undefined : from.address)
  } catch (error) {
    return fail(503, (error as Error).message, 'CONNECT')
  }
  near.on('error', () => {})
  const far = request.accept(context.config.responseBaggage ? { baggage: baggage(own) } : {})
  if (!far) {
    near.destroy()
    return report.end('io error: stream reset by the peer')
  }
  await carry(context, new SocketEnd(near), far, { report, originalTarget: at, actualTarget: to, protocol: 'HBONE', recheck })
}
