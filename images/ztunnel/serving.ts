import type { Socket } from 'node:net'
import type { HboneServer } from '../lib/hbone.ts'
import { formatIdentity, type Identity } from '../lib/identity.ts'
import type { AccessLog } from './access-log.ts'
import type { Certificates } from './certificates.ts'
import type { Config } from './config.ts'
import { Connections } from './connections.ts'
import type { ProxyContext } from './context.ts'
import type { ResolverConfig } from './dns/names.ts'
import { handleInbound } from './inbound.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics/metrics.ts'
import { handleOutbound } from './outbound.ts'
import type { Placement } from './placement.ts'
import { handlePlaintext } from './plaintext.ts'
import { Pool } from './pool.ts'
import type { Release } from './release.ts'
import type { Self } from './self.ts'
import type { MeshState } from './state/store.ts'

/** What all proxies of this process share. */
export interface Shared {
  readonly config: Config
  readonly release: Release
  readonly state: MeshState
  readonly certificates: Certificates
  readonly access: AccessLog
  readonly log: Log
  readonly metrics: Metrics
  readonly resolver: () => ResolverConfig
}

/** The connections of one workload, wherever they were accepted: its identity, its pool, its tunnels. */
export class Serving {
  readonly connections = new Connections()
  readonly context: ProxyContext
  readonly #servers = new Set<HboneServer>()
  readonly #stop = new AbortController()
  /** What a change of the mesh means for this workload. */
  readonly #follow = () => {
    this.#prefetch()
    this.connections.recheck()
  }
  /** Whose certificate is kept ready. */
  #held: Identity | undefined
  #draining = false

  constructor(shared: Shared, self: Self, placement: Placement) {
    const { config } = shared
    this.context = {
      ...shared,
      self,
      placement,
      connections: this.connections,
      pool: new Pool({ maxStreams: config.poolMaxStreams, unusedRelease: config.poolUnusedRelease }),
      stopped: this.#stop.signal,
    }
  }

  /** From now on the mesh's changes are followed, until `stop`. */
  follow(): void {
    this.#follow()
    this.context.state.on('changed', this.#follow)
  }

  outbound(socket: Socket): void {
    void this.connections.during(handleOutbound(this.context, socket))
  }

  plaintext(socket: Socket): void {
    void this.connections.during(handlePlaintext(this.context, socket))
  }

  inbound(socket: Socket): void {
    const handshake = Promise.withResolvers<void>()
    void this.connections.during(handshake.promise)
    void handleInbound(this.context, socket, (server) => {
      this.#servers.add(server)
      // Too late for a tunnel here: the peer is told at once, and asks elsewhere.
      if (this.#draining) server.close()
      handshake.resolve()
      void server.closed.then(() => this.#servers.delete(server))
    }).finally(handshake.resolve)
  }

  /** Tells HBONE peers (GOAWAY) when nothing is accepted any more; resolves when the last connection has ended by itself. */
  async drain(): Promise<void> {
    this.#draining = true
    for (const server of this.#servers) server.close()
    await this.connections.idle()
    this.context.pool.close()
  }

  /** Before `drain`: tunnels' ends that stand from now on are told at once. */
  leaving(): void {
    this.#draining = true
  }

  /** Ends everything at once; connections that are open are logged with `reason`. */
  stop(reason: string): void {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    this.context.state.off('changed', this.#follow)
    this.connections.abortAll(reason)
    for (const server of this.#servers) server.destroy()
    this.context.pool.destroy()
    this.#hold(undefined)
  }

  /** A pod of this node that takes part in the mesh has its certificate before its first connection. One whose record is gone for now keeps it. */
  #prefetch(): void {
    const { self, config } = this.context
    const own = self.workload()
    if (!own) return
    const here = own.node === config.nodeName || own.node === '' || config.nodeName === ''
    this.#hold(own.protocol === 'HBONE' && here ? self.identity() : undefined)
  }

  #hold(wanted: Identity | undefined): void {
    const held = this.#held
    if (wanted === held || (wanted && held && formatIdentity(wanted) === formatIdentity(held))) return
    this.#held = wanted
    const { certificates } = this.context
    if (wanted) certificates.hold(wanted)
    if (held) certificates.release(held)
  }
}
