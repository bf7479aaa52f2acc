import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { inNetns } from '../../../lib/netns.ts'
import { settle } from '../command.ts'
import { AddressSets } from '../netfilter/address-sets.ts'
import { detectBackend, Iptables } from '../netfilter/iptables.ts'
import type { Family, Rule } from '../netfilter/rule.ts'
import { compare } from '../netfilter/ruleset.ts'
import type { RedirectedPod, Redirection, RedirectionOptions } from '../redirection.ts'
import { flushConntrack } from './conntrack.ts'
import { defaultProbeAddress } from './constants.ts'
import { type InpodRelease, inpodReleases } from './releases.ts'
import { addRoutes, hasRule, removeRoutes } from './routes.ts'
import { hostRules, isHostChain, isPodChain, isReplyRule, ownTraffic, type PodRuleOptions } from './rules.ts'

export interface InpodOptions extends RedirectionOptions {
  readonly release: InpodRelease
}

/** For connections in flight: so long until each has sent a packet that is tracked, and then so long to end. Milliseconds. */
const trackedMs = 500
const inFlightMs = 1000

/** In-pod mode: rules and policy routing inside each pod; on the node only what lets the kubelet's probes through. */
export class InpodRedirection implements Redirection {
  readonly #options: InpodOptions
  readonly #sets: AddressSets
  #families: Promise<readonly Iptables[]> | undefined
  #noIpv6: string | undefined

  constructor(options: InpodOptions) {
    this.#options = options
    const all = Object.values(inpodReleases).flatMap((r: InpodRelease) => Object.values(r.probeSets))
    this.#sets = new AddressSets(options.host, options.release.probeSets, all)
  }

  async setupHost(): Promise<void> {
    await this.#sets.create()
    const { host } = this.#options
    for (const tables of await this.#usable())
      await tables.ensure(host, await tables.read(host), this.#hostRules(tables.family), isHostChain)
    // Those of another release, to which no rule refers any more.
    await this.#sets.dropOthers()
  }

  async teardownHost(): Promise<void> {
    for (const tables of await this.#usable()) await tables.clear(this.#options.host, isHostChain)
    await this.#sets.destroy()
  }

  async addPod(pod: RedirectedPod): Promise<void> {
    await this.#capture(pod)
  }

  /**
   * First the rules that only make the kernel track: a connection that it knows is left alone by those that capture. When what was in flight has ended, it forgets all that nobody has touched, and whatever still
   * goes on is cut. The proxy's own connections, which carry what is captured meanwhile, must not be: a rule marks them until then.
   */
  async addRunningPod(pod: RedirectedPod): Promise<void> {
    await this.#track(pod)
    await delay(trackedMs)
    await this.#capture(pod, 'gently')
    await delay(inFlightMs)
    flushConntrack(pod.netns, 'untouched')
    await this.#capture(pod)
  }

  reconcilePod(pod: RedirectedPod): Promise<'intact' | 'repaired'> {
    return this.#capture(pod)
  }

  async podServed(pod: RedirectedPod): Promise<void> {
    await this.#sets.assign(pod.uid, pod.ips)
  }

  async stopCapture(pod: RedirectedPod): Promise<void> {
    const { netns } = pod
    if (this.#options.release.lingers) {
      // What the proxy opens towards the pod must still be marked, and the answers brought back to it.
      const only = async (tables: Iptables) =>
        tables.ensure(netns, await tables.read(netns), this.#wanted(pod, tables).filter(isReplyRule), isPodChain)
      await settle((await this.#usable()).map(only))
      return
    }
    // The chains stay: without a rule that needs it the kernel would stop tracking, and cut what is being translated.
    await settle((await this.#usable()).map((tables) => tables.unhook(netns, 'nat', isPodChain)))
  }

  async endCapture({ uid, netns }: RedirectedPod): Promise<boolean> {
    if (!this.#options.release.lingers) return false
    await this.#sets.remove(uid)
    // Their answers come marked too: only the translation tells them from what is carried to the pod.
    flushConntrack(netns, 'translated')
    return true
  }

  async removePod(pod: Omit<RedirectedPod, 'netns'> & { readonly netns?: number }, alive: boolean): Promise<void> {
    await this.#sets.remove(pod.uid)
    const { netns } = pod
    if (!alive || netns === undefined) return
    const usable = await this.#usable()
    await settle(usable.map((tables) => tables.clear(netns, isPodChain)))
    await settle(routed(netns, usable).map((family) => removeRoutes(netns, family)))
  }

  async isMarked(netns: number): Promise<boolean> {
    const found = await settle(routed(netns, await this.#usable()).map((family) => hasRule(netns, family)))
    return found.includes(true)
  }

  async reconcileHost(pods: readonly Omit<RedirectedPod, 'netns'>[], complete: boolean): Promise<void> {
    for (const pod of pods) await this.#sets.assign(pod.uid, pod.ips)
    if (complete) await this.#sets.prune(new Set(pods.map((p) => p.uid)))
  }

  /** Route, rule, rules: the order of upstream. Nothing is taken away before its replacement is there. */
  async #capture(pod: RedirectedPod, how: 'at once' | 'gently' = 'at once'): Promise<'intact' | 'repaired'> {
    const usable = await this.#usable()
    const uncaptured = pod.ips.find((ip) => ip.includes(':'))
    if (uncaptured && this.#noIpv6)
      throw new Error(
        `pod ${pod.namespace}/${pod.name} has the address ${uncaptured}, but IPv6 cannot be captured on this node: ${this.#noIpv6}`,
      )
    const captured = (tables: Iptables) => this.#options.release.families.includes(tables.family)
    const wanted = (tables: Iptables) => (how === 'gently' ? this.#enrolling(pod, tables) : this.#wanted(pod, tables))
    const routes = routed(pod.netns, usable.filter(captured))
    const reading = settle(usable.map((tables) => tables.read(pod.netns)))
    const routing = settle(routes.map((family) => addRoutes(pod.netns, family)))
    await settle<unknown>([reading, routing])
    const saved = await reading
    const before = await settle(usable.map((tables, i) => tables.ensure(pod.netns, saved[i]!, wanted(tables), isPodChain)))
    if (how === 'at once' && before.some((d) => d.missing.length > 0)) flushConntrack(pod.netns)
    if (before.every((d) => d.equal)) return 'intact'
    // What another release captured and this one does not.
    const former = usable.filter((tables, i) => !captured(tables) && before[i]!.residue)
    await settle(routed(pod.netns, former).map((family) => removeRoutes(pod.netns, family)))
    if (before.every((d) => !d.residue)) this.#options.log.debug('Clean-state detected, new iptables are needed', { uid: pod.uid })
    return 'repaired'
  }

  async #track(pod: RedirectedPod): Promise<void> {
    for (const tables of await this.#usable()) {
      const saved = await tables.read(pod.netns)
      // What an earlier try left captures already: it stays.
      if (compare(saved, [], isPodChain).residue) continue
      await tables.ensure(pod.netns, saved, this.#enrolling(pod, tables).filter(isReplyRule), isPodChain)
    }
  }

  #enrolling(pod: RedirectedPod, tables: Iptables): Rule[] {
    const rules = this.#wanted(pod, tables)
    return rules.length > 0 ? [...rules, ownTraffic] : []
  }

  #wanted(pod: RedirectedPod, { family }: Iptables): Rule[] {
    const { release } = this.#options
    return release.families.includes(family)
      ? release.podRules({ ...this.#settings(pod), family, probeAddress: this.#probeAddress(family) })
      : []
  }

  #settings(pod: RedirectedPod): PodSettings {
    const { release, dnsCapture } = this.#options
    return release.podSettings ? podSettings(pod, dnsCapture) : { dnsCapture, bypassInbound: false, rerouteInterfaces: [] }
  }

  #hostRules(family: Family): Rule[] {
    const { probeSets, hostJumpFirst } = this.#options.release
    const set = probeSets[family]
    return set ? hostRules(set, this.#probeAddress(family), hostJumpFirst) : []
  }

  #probeAddress(family: Family): string {
    return this.#options.probeAddress?.[family] ?? defaultProbeAddress[family]
  }

  /** The families in use on this node, found once. */
  #usable(): Promise<readonly Iptables[]> {
    this.#families ??= this.#detect().catch((error) => {
      this.#families = undefined
      throw error
    })
    return this.#families
  }

  async #detect(): Promise<readonly Iptables[]> {
    const { host, forceBackend, ipv6, release, log } = this.#options
    const backend = await detectBackend(host, forceBackend)
    const v4 = new Iptables('v4', backend)
    const broken = await v4.unusable(host)
    if (broken) throw new Error(`iptables (${backend}) cannot be used on this node: ${broken}`)
    if (!ipv6) {
      log.info('IPv6 is switched off (AMBIENT_IPV6=false): no IPv6 rules')
      return [v4]
    }
    if (!existsSync('/proc/sys/net/ipv6')) {
      log.info('this kernel has no IPv6: no IPv6 rules')
      return [v4]
    }
    const v6 = new Iptables('v6', backend)
    this.#noIpv6 = await v6.unusable(host)
    const usable = this.#noIpv6 ? [v4] : [v4, v6]
    if (!release.families.includes('v6')) this.#noIpv6 = 'the release that is followed (MESH_RELEASE) captures IPv4 only'
    if (this.#noIpv6) log.warn(`no IPv6 rules, pods with IPv6 addresses will be refused: ${this.#noIpv6}`)
    return usable
  }
}

type PodSettings = Pick<PodRuleOptions, 'dnsCapture' | 'bypassInbound' | 'rerouteInterfaces'>

/** What annotations and labels of a pod change in its rules. */
function podSettings(pod: Pick<RedirectedPod, 'annotations' | 'labels'>, dnsCapture: boolean): PodSettings {
  const value = (key: string) => pod.annotations[key] ?? pod.labels[key]
  const dns = value('ambient.istio.io/dns-capture')
  return {
    dnsCapture: dns === 'true' || (dns !== 'false' && dnsCapture),
    bypassInbound: value('ambient.istio.io/bypass-inbound-capture') === 'true',
    rerouteInterfaces: (value('istio.io/reroute-virtual-interfaces') ?? '')
      .split(',')
      .map((name) => name.trim())
      // An interface name as the kernel takes it; anything else would be text in a rule.
      .filter((name) => /^[^\s/:!"'-][^\s/:!"']{0,14}$/.test(name)),
  }
}

/** Families whose policy routing is made: IPv6 only where the pod's `lo` speaks it. */
function routed(netns: number, usable: readonly Iptables[]): Family[] {
  return usable.map((t) => t.family).filter((family) => family === 'v4' || loHasIpv6(netns))
}

function loHasIpv6(netns: number): boolean {
  return inNetns(netns, () => {
    try {
      return readFileSync('/proc/sys/net/ipv6/conf/lo/disable_ipv6', 'utf8').trim() === '0'
    } catch {
      return false
    }
  })
}
