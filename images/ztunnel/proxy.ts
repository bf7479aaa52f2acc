import { createServer, type Server, type Socket } from 'node:net'
import type { HboneServer } from '../lib/hbone.ts'
import { formatIdentity, type Identity } from '../lib/identity.ts'
import type { AccessLog } from './access-log.ts'
import { formatAddress } from './address.ts'
import type { Certificates } from './certificates.ts'
import { type Config, ports } from './config.ts'
import { Connections } from './connections.ts'
import type { ProxyContext } from './context.ts'
import type { ResolverConfig } from './dns/names.ts'
import { DnsServer } from './dns/server.ts'
import { closeGently } from './hand-over.ts'
import { handleInbound } from './inbound.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics/metrics.ts'
import { handleOutbound } from './outbound.ts'
import type { Placement } from './placement.ts'
import { handlePlaintext } from './plaintext.ts'
import { Pool } from './pool.ts'
import type { Release } from './release.ts'
import { addressedSelf, namedSelf } from './self.ts'
import type { MeshState, WorkloadName } from './state/store.ts'

// An argument of its own: with a descriptor, Node does not look at the option.
const backlog = 128

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

/** The proxy of one workload: its listeners, its connections, its pool. */
export class PodProxy {
  readonly connections = new Connections()
  readonly #context: ProxyContext
  readonly #listeners: Server[] = []
  /** Accepted connections that no relay tracks: handshakes, and HBONE connections between tunnels. */
  readonly #raw = new Set<Socket>()
  readonly #servers = new Set<HboneServer>()
  readonly #stop = new AbortController()
  /** What a change of the mesh means for this pod. */
  readonly #follow = () => {
    this.#prefetch()
    this.connections.recheck()
  }
  /** Whose certificate is kept ready. */
  #held: Identity | undefined
  readonly #dns: DnsServer | undefined
  #draining = false

  private constructor(shared: Shared, name: WorkloadName | undefined, placement: Placement) {
    const { config, state } = shared
    this.#context = {
      ...shared,
      self: name ? namedSelf(state, config.trustDomain, name) : addressedSelf(state, config.network, () => placement.addresses()),
      placement,
      connections: this.connections,
      pool: new Pool({ maxStreams: config.poolMaxStreams, unusedRelease: config.poolUnusedRelease }),
      stopped: this.#stop.signal,
    }
    this.#dns = config.dnsProxy ? new DnsServer(this.#context, shared.resolver) : undefined
  }

  /** Opens all listeners; if one cannot be, none stays. @param name undefined: the agent gave none @throws Error naming the address */
  static async start(shared: Shared, name: WorkloadName | undefined, placement: Placement): Promise<PodProxy> {
    const proxy = new PodProxy(shared, name, placement)
    try {
      await proxy.#listen(ports.outbound, true, (socket) => void proxy.connections.during(handleOutbound(proxy.#context, socket)))
      await proxy.#listen(ports.plaintext, true, (socket) => void proxy.connections.during(handlePlaintext(proxy.#context, socket)))
      await proxy.#listen(ports.hbone, false, (socket) => proxy.#inbound(socket))
      await proxy.#dns?.start()
    } catch (error) {
      proxy.stop('connection failed: the proxy did not start')
      throw error
    }
    proxy.#follow()
    shared.state.on('changed', proxy.#follow)
    return proxy
  }

  async #listen(port: number, paused: boolean, onConnection: (socket: Socket) => void): Promise<void> {
    const { placement, log } = this.#context
    const address = { address: placement.wildcard, port }
    try {
      const fd = placement.bindTcp(address)
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: paused }, (socket) => {
        this.#raw.add(socket)
        socket.once('close', () => this.#raw.delete(socket))
        onConnection(socket)
      })
      this.#listeners.push(server)
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen({ fd }, backlog, () => {
          server.off('error', reject)
          server.on('error', (error) => log('warn', 'proxy', 'accept failed', { port, error: error.message }))
          resolve()
        })
      })
    } catch (error) {
      throw new Error(`failed to bind to address ${formatAddress(address)}: ${(error as Error).message}`)
    }
  }

  #inbound(socket: Socket): void {
    const handshake = Promise.withResolvers<void>()
    void this.connections.during(handshake.promise)
    void handleInbound(this.#context, socket, (server) => {
      this.#servers.add(server)
      // Too late for a tunnel here: the peer is told at once, and asks elsewhere.
      if (this.#draining) server.close()
      handshake.resolve()
      void server.closed.then(() => this.#servers.delete(server))
    }).finally(handshake.resolve)
  }

  /** Stops accepting, without losing what has arrived, and tells HBONE peers (GOAWAY); resolves when the last connection has ended by itself. */
  async drain(): Promise<void> {
    this.#draining = true
    const listeners = this.#listeners.splice(0)
    await closeGently(listeners)
    this.#dns?.close()
    for (const server of this.#servers) server.close()
    await this.connections.idle()
    this.#context.pool.close()
  }

  /** Ends everything at once; connections that are open are logged with `reason`. */
  stop(reason: string): void {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    this.#context.state.off('changed', this.#follow)
    this.#closeListeners()
    this.connections.abortAll(reason)
    for (const server of this.#servers) server.destroy()
    this.#context.pool.destroy()
    // A relay that was just aborted may still send what it has.
    setTimeout(() => {
      for (const socket of this.#raw) socket.destroy()
    }, 100).unref()
    this.#hold(undefined)
  }

  /** A pod of this node that takes part in the mesh has its certificate before its first connection. One whose record is gone for now keeps it. */
  #prefetch(): void {
    const { self, config } = this.#context
    const own = self.workload()
    if (!own) return
    const here = own.node === config.nodeName || own.node === '' || config.nodeName === ''
    this.#hold(own.protocol === 'HBONE' && here ? self.identity() : undefined)
  }

  #hold(wanted: Identity | undefined): void {
    const held = this.#held
    if (wanted === held || (wanted && held && formatIdentity(wanted) === formatIdentity(held))) return
    this.#held = wanted
    const { certificates } = this.#context
    if (wanted) certificates.hold(wanted)
    if (held) certificates.release(held)
  }

  #closeListeners(): void {
    for (const server of this.#listeners.splice(0)) server.close()
    this.#dns?.close()
  }
}
