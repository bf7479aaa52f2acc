import { ports } from './config.ts'
import type { Connections } from './connections.ts'
import { DnsServer } from './dns/server.ts'
import { Listeners } from './listeners.ts'
import type { Placement } from './placement.ts'
import { addressedSelf, namedSelf } from './self.ts'
import { Serving, type Shared } from './serving.ts'
import type { WorkloadName } from './state/store.ts'

/** The proxy of one pod, in the pod's own namespace: its listeners, and what serves their connections. */
export class PodProxy {
  readonly #serving: Serving
  readonly #listeners: Listeners
  readonly #dns: DnsServer | undefined
  #stopped = false

  private constructor(shared: Shared, name: WorkloadName | undefined, placement: Placement) {
    const { config, state, log } = shared
    const self = name ? namedSelf(state, config.trustDomain, name) : addressedSelf(state, config.network, () => placement.addresses())
    this.#serving = new Serving(shared, self, placement)
    this.#listeners = new Listeners(placement, log)
    this.#dns = config.dnsProxy ? new DnsServer(this.#serving.context, shared.resolver) : undefined
  }

  /** Opens all listeners; if one cannot be, none stays. @param name undefined: the agent gave none @throws Error naming the address */
  static async start(shared: Shared, name: WorkloadName | undefined, placement: Placement): Promise<PodProxy> {
    const proxy = new PodProxy(shared, name, placement)
    const serving = proxy.#serving
    try {
      await proxy.#listeners.open(ports.outbound, true, (socket) => serving.outbound(socket))
      await proxy.#listeners.open(ports.plaintext, true, (socket) => serving.plaintext(socket))
      await proxy.#listeners.open(ports.hbone, false, (socket) => serving.inbound(socket))
      await proxy.#dns?.start()
    } catch (error) {
      proxy.stop('connection failed: the proxy did not start')
      throw error
    }
    serving.follow()
    return proxy
  }

  get connections(): Connections {
    return this.#serving.connections
  }

  /** Stops accepting, without losing what has arrived, and tells HBONE peers (GOAWAY); resolves when the last connection has ended by itself. */
  async drain(): Promise<void> {
    this.#serving.leaving()
    await this.#listeners.closeGently()
    this.#dns?.close()
    await this.#serving.drain()
  }

  /** Ends everything at once; connections that are open are logged with `reason`. */
  stop(reason: string): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#serving.stop(reason)
    this.#listeners.stop()
    this.#dns?.close()
  }
}
