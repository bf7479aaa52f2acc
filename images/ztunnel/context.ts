import type { Socket } from 'node:net'
import type { End } from '../lib/h2/tunnel.ts'
import type { Identity } from '../lib/identity.ts'
import type { AccessLog, Report } from './access-log.ts'
import { type Address, canonicalAddress } from './address.ts'
import type { Certificates } from './certificates.ts'
import { type Config, connectTimeout, ownWorkloadTimeout } from './config.ts'
import type { Connections, Tracked } from './connections.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics/metrics.ts'
import type { Placement } from './placement.ts'
import type { Pool } from './pool.ts'
import { type Abort, relay } from './relay.ts'
import type { Release } from './release.ts'
import type { Self } from './self.ts'
import type { MeshState } from './state/store.ts'
import type { Workload } from './state/types.ts'

/** What the handlers of one pod's connections work with. */
export interface ProxyContext {
  readonly config: Config
  readonly state: MeshState
  readonly certificates: Certificates
  readonly placement: Placement
  readonly connections: Connections
  readonly pool: Pool
  readonly access: AccessLog
  readonly log: Log
  readonly metrics: Metrics
  readonly release: Release
  /** The pod. */
  readonly self: Self
  /** Fires when the proxy stops. */
  readonly stopped: AbortSignal
}

export const noOwnWorkload = 'failed to fetch information about local workload'
export const selfCall = 'attempted recursive call to ourselves'

/** The record of the pod itself; waits for one that is not there yet. */
export function ownWorkload(context: ProxyContext): Promise<Workload | undefined> {
  return context.state.waitFor(() => context.self.workload(), ownWorkloadTimeout, context.stopped)
}

/** Whom the pod speaks for; waits for its record where only that says so. @throws Error when it does not come */
export async function ownIdentity(context: ProxyContext): Promise<Identity> {
  const known = context.self.identity()
  if (known) return known
  await ownWorkload(context)
  const identity = context.self.identity()
  if (!identity) throw new Error(noOwnWorkload)
  return identity
}

/** The peer of an accepted socket; undefined if it is gone already. */
export function peerOf(socket: Socket): Address | undefined {
  const address = canonicalAddress(socket.remoteAddress ?? '')
  return address && socket.remotePort ? { address, port: socket.remotePort } : undefined
}

const systemErrors: Readonly<Record<string, string>> = {
  EADDRINUSE: 'Address already in use (os error 98)',
  EADDRNOTAVAIL: 'Cannot assign requested address (os error 99)',
  ENETUNREACH: 'Network is unreachable (os error 101)',
  ECONNRESET: 'Connection reset by peer (os error 104)',
  ETIMEDOUT: 'Connection timed out (os error 110)',
  ECONNREFUSED: 'Connection refused (os error 111)',
  EHOSTUNREACH: 'No route to host (os error 113)',
}

/**
 * Dials and waits until the connection stands.
 * @param onTimeout the error's text when nothing answered in time
 * @throws Error `connection failed: …`
 */
export function dial(
  context: ProxyContext,
  to: Address,
  source?: string,
  onTimeout = 'connection failed: deadline has elapsed',
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    let socket: Socket
    try {
      socket = context.placement.dial(to, source)
    } catch (error) {
      reject(new Error(`connection failed: ${(error as Error).message}`))
      return
    }
    const finish = (error?: string) => {
      clearTimeout(timer)
      context.stopped.removeEventListener('abort', stop)
      socket.off('connect', done)
      if (error === undefined) {
        socket.off('error', failed)
        resolve(socket)
        return
      }
      socket.destroy()
      reject(new Error(error))
    }
    const done = () => finish()
    const failed = (error: NodeJS.ErrnoException) => finish(`connection failed: ${systemErrors[error.code ?? ''] ?? error.message}`)
    const stop = () => finish('connection failed: the proxy is shutting down')
    const timer = setTimeout(() => finish(onTimeout), connectTimeout)
    socket.once('connect', done)
    socket.on('error', failed)
    context.stopped.addEventListener('abort', stop)
  })
}

/** What is known of a connection whose both sides stand. */
export interface Established {
  readonly report: Report
  readonly originalTarget: Address
  readonly actualTarget: Address
  readonly protocol: Tracked['protocol']
  readonly recheck?: () => string | undefined
}

/** Relays between the pod's side and the other, tracked and logged. Never rejects. */
export async function carry(context: ProxyContext, near: End, far: End, known: Established): Promise<void> {
  const { report } = known
  const { record } = report
  let abort: Abort = () => {}
  const tracked = context.connections.add({
    direction: record.direction,
    from: record.from,
    originalTarget: known.originalTarget,
    actualTarget: known.actualTarget,
    protocol: known.protocol,
    ...(known.recheck && { recheck: known.recheck }),
    abort: (reason) => abort(reason),
  })
  report.opened()
  let error: string | undefined
  try {
    const running = relay(near, far, report.traffic, (end) => {
      abort = end
    })
    // A policy may have changed while the connection was being set up.
    if (known.recheck?.() !== undefined) abort('connection closed due to policy change')
    await running
  } catch (failure) {
    error = (failure as Error).message
  } finally {
    tracked.release()
  }
  report.end(error)
}
