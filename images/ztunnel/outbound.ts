import type { Socket } from 'node:net'
import { HboneClient, HboneError } from '../lib/hbone.ts'
import { formatIdentity } from '../lib/identity.ts'
import { connectMtls } from '../lib/mtls.ts'
import type { ConnectionRecord } from './access-log.ts'
import { type Address, formatAddress } from './address.ts'
import { connectTimeout } from './config.ts'
import { carry, dial, noOwnWorkload, ownWorkload, type ProxyContext, peerOf, selfCall } from './context.ts'
import { hboneOptions } from './hbone-options.ts'
import { connectHeaders } from './headers.ts'
import { isSelfCall, type Route, route } from './route.ts'
import type { Workload } from './state/types.ts'

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
  const request = { source, sourceIp: from.address, target, direct }
  if (isSelfCall(request)) return refuse(selfCall)
  const chosen = route(context.state, request)
  if (chosen.kind === 'refuse') return refuse(chosen.error)
  let record = describe(context, chosen, source, from)
  let far: Awaited<ReturnType<typeof openTunnel>>['stream'] | Socket
  try {
    if (chosen.kind === 'hbone') {
      const { stream, peer } = await openTunnel(context, chosen, source, from)
      far = stream
      // Not whom we looked for: whom we found.
      if (peer) record = { ...record, destinationIdentity: peer }
    } else far = await dial(context, chosen.to)
  } catch (error) {
    context.access.closed(record, { sent: 0, received: 0 }, startedAt, (error as Error).message)
    socket.destroy()
    return
  }
  const protocol = chosen.kind === 'hbone' ? 'HBONE' : 'TCP'
  await carry(context, socket, far, { record, startedAt, originalTarget: target, actualTarget: chosen.to, protocol })
}

type Chosen = Exclude<Route, { kind: 'refuse' }>

function describe(context: ProxyContext, chosen: Chosen, source: Workload, from: Address): ConnectionRecord {
  const { to, destination, service } = chosen
  const base = { direction: 'outbound', from, to, source, destination, service } as const
  if (chosen.kind === 'tcp') return base
  return { ...base, sourceIdentity: context.identity, destinationIdentity: chosen.destination, hboneAddress: chosen.authority }
}

/** A tunnel on a pooled connection. A server that goes away in this very moment is asked again once, on a connection of its own. */
async function openTunnel(context: ProxyContext, chosen: Chosen & { kind: 'hbone' }, source: Workload, from: Address) {
  const key = [formatIdentity(context.identity), [...chosen.identities].sort().join(','), from.address, formatAddress(chosen.to)].join('|')
  const open = () => connectHbone(context, chosen)
  const headers = connectHeaders(source, from, chosen.service)
  for (let attempt = 0; ; attempt++) {
    try {
      return await context.pool.use(key, open, async (client) => {
        const { stream } = await client.connect(chosen.authority, headers)
        return { stream, peer: client.peer }
      })
    } catch (error) {
      if (attempt > 0 || !(error instanceof HboneError && error.retryable)) throw error
    }
  }
}

async function connectHbone(context: ProxyContext, chosen: Chosen & { kind: 'hbone' }): Promise<HboneClient> {
  const tls = await context.certificates.context(context.identity)
  const raw = await dial(context, chosen.to, undefined, blocked)
  const { socket } = await connectMtls(raw, tls, chosen.identities, connectTimeout)
  return new HboneClient(socket, hboneOptions(context.config))
}
