import type { Socket } from 'node:net'
import type { End } from '../lib/h2/tunnel.ts'
import { HboneClient, HboneError } from '../lib/hbone.ts'
import { formatIdentity } from '../lib/identity.ts'
import { connectMtls, MtlsError } from '../lib/mtls.ts'
import type { ConnectionRecord } from './access-log.ts'
import { type Address, formatAddress } from './address.ts'
import { connectTimeout } from './config.ts'
import { carry, dial, noOwnWorkload, ownIdentity, ownWorkload, type ProxyContext, peerOf, selfCall } from './context.ts'
import { hboneOptions } from './hbone-options.ts'
import { connectHeaders } from './headers.ts'
import type { ResponseFlag } from './metrics/traffic.ts'
import type { Denial } from './rbac.ts'
import { isSelfCall, type Route, route } from './route.ts'
import { SocketEnd } from './socket-end.ts'
import type { Workload } from './state/types.ts'
import { rejection, wardOf } from './ward.ts'

const blocked = 'connection timed out, maybe a NetworkPolicy is blocking HBONE port 15008: deadline has elapsed'

/** Takes a connection that the pod's application made and that was turned to 15001. Never rejects. */
export async function handleOutbound(context: ProxyContext, socket: Socket): Promise<void> {
  const startedAt = performance.now()
  socket.on('error', () => {})
  const from = peerOf(socket)
  if (!from) return void socket.destroy()
  const { target, direct } = context.placement.target(socket)
  const refuse = (error: string) => {
    context.access.refused('outbound', from, target, error)
    socket.destroy()
  }
  if (isSelfCall({ sourceIp: from.address, target, direct })) return refuse(selfCall)
  const source = await ownWorkload(context)
  if (!source) return refuse(noOwnWorkload)
  const request = { source, sourceIp: from.address, target, direct, localNode: context.release.localNode(context.config) }
  if (isSelfCall(request)) return refuse(selfCall)
  const chosen = route(context.state, request)
  if (chosen.kind === 'refuse') return refuse(chosen.error)
  const report = context.access.begin(describe(context, chosen, source, from), startedAt)
  const recheck = chosen.kind === 'local' ? localWard(context, chosen, from) : undefined
  const denial = recheck?.()
  if (denial !== undefined) {
    report.end(rejection(denial), 'DENY')
    return void socket.destroy()
  }
  let far: End
  try {
    if (chosen.kind === 'hbone') {
      const { tunnel, peer } = await openTunnel(context, chosen, source, from)
      far = tunnel
      // Not whom we looked for: whom we found.
      if (peer) report.record = { ...report.record, destinationIdentity: peer }
    } else far = new SocketEnd(await dial(context, chosen.to))
  } catch (error) {
    report.end((error as Error).message, flagOf(error as Error))
    socket.destroy()
    return
  }
  const protocol = chosen.kind === 'hbone' ? 'HBONE' : 'TCP'
  await carry(context, new SocketEnd(socket), far, {
    report,
    originalTarget: target,
    actualTarget: chosen.to,
    protocol,
    ...(recheck && { recheck }),
  })
}

/** Upstream's flag for a connection that could not be made. */
function flagOf(error: Error): ResponseFlag {
  if (error.message.startsWith('identity error: ')) return 'IDENTITY_ERROR'
  if (error instanceof MtlsError) return 'TLS_FAILURE'
  if (error.message === blocked) return 'NETWORK_POLICY'
  if (error instanceof HboneError && error.status === undefined) return 'H2_HANDSHAKE_FAILURE'
  return 'CONNECT'
}

type Chosen = Exclude<Route, { kind: 'refuse' }>

function describe(context: ProxyContext, chosen: Chosen, source: Workload, from: Address): ConnectionRecord {
  const { to, destination, service } = chosen
  const base = { direction: 'outbound', from, to, source, destination, service } as const
  if (chosen.kind !== 'hbone')
    return chosen.kind === 'local' ? { ...base, sourceIdentity: context.self.identity(), destinationIdentity: destination } : base
  return { ...base, sourceIdentity: context.self.identity(), destinationIdentity: chosen.destination, hboneAddress: chosen.authority }
}

/** The destination's policy, which a tunnel's far end would ask. */
function localWard(context: ProxyContext, { to, destination }: Chosen & { kind: 'local' }, from: Address): () => Denial {
  return wardOf(context, destination, {
    identity: context.self.identity(),
    sourceIp: from.address,
    destinationIp: to.address,
    destinationPort: to.port,
  })
}

/** A tunnel on a pooled connection. A server that goes away in this very moment is asked again once, on a connection of its own. */
async function openTunnel(context: ProxyContext, chosen: Chosen & { kind: 'hbone' }, source: Workload, from: Address) {
  const identity = formatIdentity(await ownIdentity(context))
  const key = [identity, [...chosen.identities].sort().join(','), from.address, formatAddress(chosen.to)].join('|')
  const open = () => connectHbone(context, chosen)
  const headers = connectHeaders(source, from, chosen.service)
  for (let attempt = 0; ; attempt++) {
    try {
      return await context.pool.use(key, open, async (client) => {
        const { tunnel } = await client.connect(chosen.authority, headers)
        return { tunnel, peer: client.peer }
      })
    } catch (error) {
      if (attempt > 0 || !(error instanceof HboneError && error.retryable)) throw error
    }
  }
}

async function connectHbone(context: ProxyContext, chosen: Chosen & { kind: 'hbone' }): Promise<HboneClient> {
  const tls = await context.certificates.context(await ownIdentity(context))
  const raw = await dial(context, chosen.to, undefined, blocked)
  const { socket } = await connectMtls(raw, tls, chosen.identities, connectTimeout)
  return new HboneClient(socket, hboneOptions(context.config))
}
