import { isIPv4 } from 'node:net'
import { type Netns, runIn, tryIn } from '../command.ts'
import { AddressSets } from '../netfilter/address-sets.ts'
import { Iptables, kubeletBackend } from '../netfilter/iptables.ts'
import type { NodeProxy, RedirectedPod, Redirection, RedirectionOptions } from '../redirection.ts'
import { hasConf, setConf } from '../sysctl.ts'
import { podSet, table, tunnels } from './constants.ts'
import { NodeSettings } from './node-settings.ts'
import { podDevice, routedPods, routeNode, routePods, routeProxy, sourceTowards, unrouteNode, unroutePods, vethPeer } from './routing.ts'
import { isNodeChain, nodeRules, proxyRules } from './rules.ts'
import { freePort, makeTunnels, removeTunnels, standingPort, type TunnelKind, tunnelKind } from './tunnels.ts'

type Pod = Omit<RedirectedPod, 'netns'>

/**
 * Mode `iptables`: nothing in the pods; the node and its proxy's namespace are joined by two GENEVE tunnels. The node's state is made when a
 * proxy is ready for the first time; without one it stays as it is, so that nothing goes on in plaintext.
 */
export class IptablesRedirection implements Redirection {
  readonly #options: RedirectionOptions
  readonly #sets: AddressSets
  readonly #settings: NodeSettings
  #iptables: Promise<Iptables> | undefined
  #kind: Promise<TunnelKind> | undefined
  /** The set and the tunnels are there. */
  #standing = false
  /** What changes the node now; nothing may after its state has been taken off. */
  readonly #changes = new Set<Promise<unknown>>()
  #over = false

  constructor(options: RedirectionOptions) {
    this.#options = options
    this.#sets = new AddressSets(options.host, { v4: podSet }, [podSet])
    this.#settings = new NodeSettings(options.host, options.formerSettings)
  }

  /** A former agent's state is taken over; without one there is nothing to make before a proxy is ready. */
  async setupHost(): Promise<void> {
    await this.#tables()
    const { host } = this.#options
    this.#standing = (await standingPort(host)) !== undefined && (await tryIn(host, ['ipset', 'list', '-name', podSet])).exitCode === 0
    if (this.#standing) await this.#sets.create()
  }

  /**
   * Joins node and proxy; a former proxy's place is taken over in one step a table, and nothing is taken away before its replacement is there.
   * @throws Error when the proxy cannot be joined, for example because the primary CNI plugin makes no route for its address
   */
  activate(proxy: NodeProxy): Promise<void> {
    return this.#change(() => this.#join(proxy))
  }

  async #join(proxy: NodeProxy): Promise<void> {
    const { host } = this.#options
    const device = await this.#device(proxy.address, `ztunnel ${proxy.namespace}/${proxy.name}`)
    const inner = await vethPeer(host, device, proxy.netns)
    const remote = await sourceTowards(host, proxy.address)
    const kind = await this.#tunnelKind()
    const port = await freePort(host, proxy.address)
    await this.#joinProxy(proxy, remote, inner, kind, port)
    await this.#sets.create()
    this.#settings.set({ 'default/rp_filter': '0', 'all/rp_filter': '0', [`${device}/rp_filter`]: '0', [`${device}/accept_local`]: '1' })
    await directly(host, proxy.address, device)
    await makeTunnels({ netns: host, side: 'node', remote: proxy.address }, kind, port)
    for (const { node } of Object.values(tunnels)) this.#settings.set({ [`${node}/rp_filter`]: '0', [`${node}/accept_local`]: '1' })
    const tables = await this.#tables()
    const wanted = nodeRules({
      proxyDevice: device,
      proxyAddress: proxy.address,
      hostAddress: await this.#hostAddress(),
      genevePort: port,
      dnsCapture: proxy.dnsCapture,
    })
    await tables.ensure(host, await tables.read(host), wanted, isNodeChain)
    await routeNode(host, { proxyDevice: device, proxyAddress: proxy.address })
    // Links that were made anew have lost them.
    await routePods(host, this.#sets.addresses(), await this.#hostAddress())
    this.#standing = true
    this.#options.log.info('node and ztunnel are joined', { device, tunnels: kind, port: String(port) })
  }

  /** All of the mode off the node; what others keep in the same tables stays. */
  async teardownHost(): Promise<void> {
    const { host } = this.#options
    this.#over = true
    await Promise.allSettled(this.#changes)
    const tables = await this.#tables()
    await tables.clear(host, isNodeChain)
    await unrouteNode(host)
    await removeTunnels(host, 'node')
    await this.#sets.destroy()
    this.#settings.restore()
    this.#standing = false
  }

  async addPod(pod: RedirectedPod): Promise<void> {
    await this.#capture(pod)
    // Upstream's plugin names the pod's interface and runs on the node: it is the node's own that it changes.
    if (hasConf(this.#options.host, 'eth0')) this.#settings.set({ 'eth0/rp_filter': '0' })
  }

  async addRunningPod(pod: RedirectedPod): Promise<void> {
    await this.#capture(pod)
  }

  reconcilePod(pod: RedirectedPod): Promise<'intact' | 'repaired'> {
    return this.#capture(pod)
  }

  /** Nothing more is granted to it than to be captured, which it is: but for addresses that have changed. */
  async podServed(pod: RedirectedPod): Promise<void> {
    const captured = this.#sets.addressesOf(pod.uid)
    if (captured.length !== pod.ips.length || pod.ips.some((ip) => !captured.includes(ip))) await this.#capture(pod)
  }

  /** Connections that the proxy carries go on: their marks are the kernel's. */
  async stopCapture(pod: RedirectedPod): Promise<void> {
    await this.#release(pod)
  }

  async endCapture(): Promise<boolean> {
    return false
  }

  async removePod(pod: Pod): Promise<void> {
    await this.#release(pod)
  }

  /** Nothing is ever inside a pod. */
  async isMarked(): Promise<boolean> {
    return false
  }

  async reconcileHost(pods: readonly Pod[], complete: boolean): Promise<void> {
    if (!this.#standing) return
    for (const pod of pods) if (pod.ips.length > 0) await this.#capture(pod)
    if (!complete) return
    await this.#sets.prune(new Set(pods.map((p) => p.uid)))
    const kept = new Set(this.#sets.addresses())
    const { host } = this.#options
    await unroutePods(
      host,
      (await routedPods(host)).filter((a) => !kept.has(a)),
    )
  }

  #capture(pod: Pod): Promise<'intact' | 'repaired'> {
    return this.#change(() => this.#captureNow(pod))
  }

  async #captureNow(pod: Pod): Promise<'intact' | 'repaired'> {
    const { host } = this.#options
    const about = `pod ${pod.namespace}/${pod.name}`
    if (!this.#standing) throw new Error(`${about} cannot be captured yet: no ztunnel has been ready on this node`)
    const foreign = pod.ips.find((ip) => !isIPv4(ip))
    if (foreign) throw new Error(`${about} has the address ${foreign}: this mode captures IPv4 only`)
    const devices = await Promise.all(pod.ips.map((ip) => this.#device(ip, about)))
    const before = this.#sets.addressesOf(pod.uid)
    const routed = await routedPods(host)
    await this.#sets.assign(pod.uid, pod.ips)
    await routePods(
      host,
      pod.ips.filter((ip) => !routed.includes(ip)),
      await this.#hostAddress(),
    )
    const former = before.filter((ip) => pod.ips.length > 0 && !pod.ips.includes(ip))
    await unroutePods(host, former)
    this.#settings.set({
      'default/rp_filter': '0',
      'all/rp_filter': '0',
      ...Object.fromEntries(devices.map((d) => [`${d}/rp_filter`, '0'])),
    })
    return former.length === 0 && pod.ips.every((ip) => before.includes(ip) && routed.includes(ip)) ? 'intact' : 'repaired'
  }

  /** By UID: an address that another pod has taken over stays captured. */
  async #release(pod: Pod): Promise<void> {
    if (!this.#standing) return
    const addresses = this.#sets.addressesOf(pod.uid)
    await this.#sets.remove(pod.uid)
    await unroutePods(this.#options.host, addresses)
  }

  async #change<T>(work: () => Promise<T>): Promise<T> {
    if (this.#over) throw new Error('the mesh is being taken off this node')
    const change = work().finally(() => this.#changes.delete(change))
    this.#changes.add(change)
    return change
  }

  async #joinProxy(proxy: NodeProxy, remote: string, device: string, kind: TunnelKind, port: number): Promise<void> {
    const { netns } = proxy
    setConf(netns, { 'default/rp_filter': '0', 'all/rp_filter': '0', [`${device}/rp_filter`]: '0' })
    await makeTunnels({ netns, side: 'proxy', remote }, kind, port)
    for (const tunnel of Object.values(tunnels)) setConf(netns, { [`${tunnel.proxy}/rp_filter`]: '0' })
    await routeProxy(netns, remote, device)
    const rules = proxyRules(proxy.address, device).map((spec) => `-A PREROUTING ${spec}\n`)
    await (await this.#tables()).write(netns, `*mangle\n-F PREROUTING\n${rules.join('')}COMMIT\n*nat\n-F OUTPUT\nCOMMIT\n`)
  }

  async #device(address: string, whose: string): Promise<string> {
    const device = await podDevice(this.#options.host, address)
    if (device) return device
    throw new Error(
      `${whose} cannot be reached by a device of its own: the node has no route for ${address} alone. This mode needs a primary CNI plugin that makes one for each pod (ptp, kindnet, Calico), not a bridge`,
    )
  }

  #hostAddress(): Promise<string> {
    const { hostAddress } = this.#options
    if (!hostAddress) throw new Error('the address of this node in its pod network is not known')
    return hostAddress()
  }

  #tables(): Promise<Iptables> {
    const { host, forceBackend } = this.#options
    this.#iptables ??= (async () => {
      const tables = new Iptables('v4', await kubeletBackend(host, forceBackend))
      const broken = await tables.unusable(host)
      if (broken) throw new Error(`iptables cannot be used on this node: ${broken}`)
      return tables
    })().catch((error) => {
      this.#iptables = undefined
      throw error
    })
    return this.#iptables
  }

  #tunnelKind(): Promise<TunnelKind> {
    this.#kind ??= tunnelKind(this.#options.host).catch((error) => {
      this.#kind = undefined
      throw error
    })
    return this.#kind
  }
}

/** The proxy's own way in each table, before a packet is sent into its tunnel. */
async function directly(host: Netns, proxyAddress: string, device: string): Promise<void> {
  const lines = [table.inbound, table.outbound].map((t) => `route replace ${proxyAddress} dev ${device} scope link table ${t}`)
  await runIn(host, ['ip', '-4', '-batch', '-'], `${lines.join('\n')}\n`)
}
