import type { Socket } from 'node:net'
import type { Address } from './address.ts'

/**
 * Where a proxy's sockets live and how they are marked. The proxy knows only this; which network namespace, which mark and how sources are kept is the
 * placement's business, one for each way of redirection.
 */
export interface Placement {
  /** Addresses of listeners that take captured traffic: `::`, or `0.0.0.0` where there is no IPv6. */
  readonly wildcard: string
  /** Loopback addresses that exist. */
  readonly loopbacks: readonly string[]
  /** A bound TCP socket for `net.Server.listen({ fd })`. Throws SystemError. */
  bindTcp(address: Address): number
  /** A bound UDP socket. Throws SystemError. */
  bindUdp(address: Address): number
  /**
   * A socket that is connecting to `to`. @param source keep this source address (any port) if the placement can; throws SystemError at once, or the socket
   * fails later as usual
   */
  dial(to: Address, source?: string): Socket
  /** The target that the application wanted; `direct` when nothing was redirected and the listener itself was called. */
  target(socket: Socket): { readonly target: Address; readonly direct: boolean }
  /** The pod's own addresses, as its interfaces have them now. */
  addresses(): readonly string[]
  /** Lets go of the namespace. Sockets made before live on. */
  close(): void
}
