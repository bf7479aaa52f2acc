import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { canonicalAddress } from './address.ts'
import { ports } from './config.ts'
import { peerOf, selfCall } from './context.ts'
import { DnsServer } from './dns/server.ts'
import { Listeners } from './listeners.ts'
import type { Placement } from './placement.ts'
import { addressedSelf } from './self.ts'
import { Serving, type Shared } from './serving.ts'
import { sharedPlacement } from './shared-placement.ts'

/**
 * One proxy for all pods of its node, in ztunnel's own namespace: whose a connection is, its addresses say, which the node has let through.
 * Outbound it is the client's, inbound the server's.
 */
export class SharedProxy {
  readonly #shared: Shared
  readonly #own: Placement = sharedPlacement()
  readonly #listeners: Listeners
  /** By address of the pod. */
  readonly #pods = new Map<string, Serving>()
  readonly #dns: DnsServer | undefined
  readonly #follow = () => this.#settle()
  #ready = false
  #draining = false

  constructor(shared: Shared) {
    this.#shared = shared
    this.#listeners = new Listeners(this.#own, shared.log)
    const { state, config } = shared
    const own = new Serving(
      shared,
      addressedSelf(state, config.network, () => this.#own.addresses()),
      this.#own,
    )
    // The node turns questions to ztunnel's address; whose they are, their source still says.
    this.#dns = config.dnsProxy ? new DnsServer(own.context, shared.resolver, (address) => this.#of(address).context) : undefined
  }

  /** @throws Error naming the address that cannot be bound */
  async start(): Promise<void> {
    await this.#listeners.open(ports.outbound, true, (socket) => this.#outbound(socket))
    await this.#listeners.open(ports.plaintext, true, (socket) => this.#inbound(socket)?.plaintext(socket))
    await this.#listeners.open(ports.hbone, false, (socket) => this.#inbound(socket)?.inbound(socket))
    await this.#dns?.start()
    this.#settle()
    this.#shared.state.on('changed', this.#follow)
    this.#ready = true
  }

  get ready(): boolean {
    return this.#ready
  }

  /** Lets all connections end by themselves until `deadline` milliseconds have passed, then ends them. */
  async shutdown(deadline: number): Promise<void> {
    this.#draining = true
    const pods = [...this.#pods.values()]
    for (const pod of pods) pod.leaving()
    const late = new AbortController()
    const drained = this.#listeners.closeGently().then(() => Promise.all(pods.map((p) => p.drain())))
    await Promise.race([drained, delay(deadline, undefined, { signal: late.signal }).catch(() => {})])
    late.abort()
    this.#shared.state.off('changed', this.#follow)
    this.#dns?.close()
    this.#listeners.stop()
    for (const pod of this.#pods.values()) pod.stop('connection closed due to connection drain')
  }

  #outbound(socket: Socket): void {
    const from = peerOf(socket)
    if (!from) return void socket.destroy()
    const { target } = this.#own.target(socket)
    // A call to ztunnel itself would be turned to it for ever.
    if (this.#own.addresses().includes(target.address)) {
      this.#shared.access.refused('outbound', from, target, selfCall)
      return void socket.destroy()
    }
    this.#of(from.address).outbound(socket)
  }

  #inbound(socket: Socket): Serving | undefined {
    const from = peerOf(socket)
    const at = canonicalAddress(socket.localAddress ?? '')
    if (!from || !at) return void socket.destroy()
    if (this.#own.addresses().includes(at)) {
      this.#shared.access.refused('inbound', from, { address: at, port: socket.localPort ?? 0 }, selfCall)
      return void socket.destroy()
    }
    return this.#of(at)
  }

  #of(address: string): Serving {
    let serving = this.#pods.get(address)
    if (!serving) {
      const { state, config } = this.#shared
      serving = new Serving(
        this.#shared,
        addressedSelf(state, config.network, () => [address]),
        sharedPlacement(address),
      )
      this.#pods.set(address, serving)
      serving.follow()
      if (this.#draining) serving.leaving()
    }
    return serving
  }

  /** Pods of this node have their certificates before their first connection; who is gone, and carries nothing, is forgotten. */
  #settle(): void {
    const { state, config } = this.#shared
    const here = new Set<string>()
    for (const workload of state.workloads.values())
      if (workload.node === config.nodeName) for (const address of workload.workloadIps) if (!address.includes(':')) here.add(address)
    for (const address of here) this.#of(address)
    for (const [address, serving] of this.#pods) {
      if (here.has(address) || serving.connections.size > 0) continue
      serving.stop('connection closed due to connection drain')
      this.#pods.delete(address)
    }
  }
}
