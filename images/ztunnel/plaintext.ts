import type { Socket } from 'node:net'
import { illegalPorts } from './config.ts'
import { carry, dial, noOwnWorkload, ownWorkload, type ProxyContext, peerOf, selfCall } from './context.ts'
import type { ResponseFlag } from './metrics/traffic.ts'
import { SocketEnd } from './socket-end.ts'
import { guessService } from './target.ts'
import { rejection, wardFor } from './ward.ts'

/** Takes a plaintext connection to the pod that was turned to 15006: policy without an identity, then on to the application as if nothing were between. Never rejects. */
export async function handlePlaintext(context: ProxyContext, far: Socket): Promise<void> {
  const startedAt = performance.now()
  far.on('error', () => {})
  const from = peerOf(far)
  if (!from) return void far.destroy()
  const { target } = context.placement.target(far)
  const refuse = (error: string) => {
    context.access.refused('inbound', from, target, error)
    far.destroy()
  }
  if (illegalPorts.includes(target.port)) return refuse(selfCall)
  const own = await ownWorkload(context)
  if (!own) return refuse(noOwnWorkload)
  const report = context.access.begin(
    {
      direction: 'inbound',
      from,
      to: target,
      source: context.state.workloadAt(own.network, from.address),
      destination: own,
      service: guessService(context.state, own, context.state.servicesOf(own), target.port),
    },
    startedAt,
  )
  const fail = (error: string, flag: ResponseFlag) => {
    report.end(error, flag)
    far.destroy()
  }
  const recheck = wardFor(context, {
    identity: undefined,
    sourceIp: from.address,
    destinationIp: target.address,
    destinationPort: target.port,
  })
  const denial = recheck()
  if (denial !== undefined) return fail(rejection(denial), 'DENY')
  let near: Socket
  try {
    near = await dial(context, target, from.address === target.address ? undefined : from.address)
  } catch (error) {
    return fail((error as Error).message, 'CONNECT')
  }
  await carry(context, new SocketEnd(near), new SocketEnd(far), {
    report,
    originalTarget: target,
    actualTarget: target,
    protocol: 'TCP',
    recheck,
  })
}
