import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { modeRelease } from '../redirect/modes.ts'
import type { Log, Redirection } from '../redirect/redirection.ts'
import { dataplaneModeLabel, isEligible, type Rules } from '../shared/eligibility.ts'
import type { AddEvent } from '../shared/event.ts'
import type { AgentConfig } from './config.ts'
import { eligibilityRules } from './eligibility-rules.ts'
import { Enroller } from './enroller.ts'
import { hostAddress } from './host-address.ts'
import type { ClusterApi } from './kubernetes.ts'
import type { Metrics } from './metrics.ts'
import { NamespaceFinder, openNamespace } from './netns.ts'
import { NodeProxies } from './node-proxy.ts'
import { PluginServer } from './plugin-server.ts'
import { PodStore } from './pods.ts'
import { ZdsServer } from './zds-server.ts'

/** Host rules: so many tries, so far apart, then the agent gives up and is restarted (upstream's numbers). */
const hostTries = 10
const hostTryMs = 2000
/** An ADD event may be ahead of the watch: so many looks, so far apart. */
const podTries = 10
const podTryMs = 10
/** Every proxy hears of a change within the first, answers that are on their way come within the second, and a proxy's drain is over within the third (its pod's grace period). */
const leavingTimes = { peersMs: 2000, inFlightMs: 1000, lingerMs: 30_000 }
/** How long an ADD waits for an agent that is just starting; the plugin gives up after 5 s. */
const startWaitMs = 4000

/** The ambient half of the agent: everything but the installation of the plugin. */
export class Ambient {
  readonly #config: AgentConfig
  readonly #api: ClusterApi
  readonly #log: Log
  readonly #pods = new PodStore()
  readonly #rules: Rules
  readonly #redirection: Redirection
  readonly #proxies: ZdsServer | NodeProxies
  readonly #enroller: Enroller
  readonly #plugin: PluginServer
  readonly #started = Promise.withResolvers<void>()

  constructor(config: AgentConfig, api: ClusterApi, log: Log, pluginLog: Log, metrics: Metrics) {
    this.#config = config
    this.#api = api
    this.#log = log
    const { make, release } = modeRelease(config.redirectMode, config.release)
    this.#rules = eligibilityRules(config)
    this.#redirection = make({
      host: `${config.hostProc}/1/ns/net`,
      dnsCapture: config.dnsCapture,
      ipv6: config.ipv6,
      probeAddress: config.probeAddress,
      forceBackend: config.forceIptables,
      hostAddress: () => api.nodeNetwork(config.nodeName).then((network) => hostAddress(`${config.hostProc}/1/ns/net`, network)),
      formerSettings: join(config.ambientConfigDir, 'former-settings.json'),
      log,
    })
    const finder = new NamespaceFinder(config.hostProc)
    const onActive = () => this.#enroller.proxyReady()
    const { activate } = this.#redirection
    // A mode that redirects on the node is joined to one proxy; the others hand each pod's namespace to theirs.
    this.#proxies = activate
      ? new NodeProxies({
          pods: this.#pods,
          systemNamespace: config.podNamespace,
          findNamespace: (uid) => finder.find(uid),
          activate: (proxy) => activate.call(this.#redirection, proxy),
          onActive,
          configDir: config.ambientConfigDir,
          redirectMode: config.redirectMode,
          log,
        })
      : new ZdsServer({
          path: config.zdsSocket,
          workloadInfo: release.workloadInfo,
          log,
          snapshot: () => this.#enroller.workloads(),
          onSnapshotTaken: onActive,
        })
    this.#enroller = new Enroller({
      pods: this.#pods,
      redirection: this.#redirection,
      proxies: this.#proxies,
      findNamespace: (uid) => finder.find(uid),
      openNamespace: (path) => openNamespace(`${config.hostRoot}${path}`, config.hostProc),
      annotate: (pod, state) => api.annotate(pod, state),
      rules: this.#rules,
      leaving: leavingTimes,
      log,
    })
    this.#plugin = new PluginServer({
      directory: config.runDir,
      onAdd: (event) => this.#add(event),
      onAnswer: (status) => metrics.count('istio_cni_plugin_requests_total', { response_code: String(status) }),
      pluginLog,
    })
  }

  /** Host state, plugin's sockets, pods, then proxies: the order of upstream. Resolves when pods can be enrolled. */
  async start(): Promise<void> {
    await this.#plugin.listen()
    await this.#setupHost()
    this.#logNamespaces()
    await this.#api.follow(this.#pods, this.#config.nodeName)
    await this.#enroller.start()
    this.#proxies.listen()
    this.#started.resolve()
    this.#log.info('ambient agent is ready')
  }

  async #setupHost(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#redirection.setupHost()
      } catch (error) {
        this.#log.error(`failed to set up the node (try ${attempt} of ${hostTries}): ${(error as Error).message}`)
        if (attempt === hostTries) throw error
        await delay(hostTryMs)
      }
    }
  }

  async #add(event: AddEvent): Promise<void> {
    const late = delay(startWaitMs, 'late' as const, { ref: false })
    if ((await Promise.race([this.#started.promise, late])) === 'late') throw new Error('the agent is still starting')
    const { PodNamespace: namespace, PodName: name } = event
    for (let attempt = 0; attempt < podTries; attempt++) {
      const pod = this.#pods.find(namespace, name)
      const labels = this.#pods.namespaceLabels(namespace)
      // A pod that is going and the one that follows it share a name.
      if (pod && !pod.deleting && labels && isEligible(pod, labels, this.#rules)) return this.#enroller.addFromRuntime(pod, event)
      await delay(podTryMs)
    }
    throw new Error(`pod ${namespace}/${name} is not known on this node as one of the ambient mesh`)
  }

  #logNamespaces(): void {
    const enabled = new Map<string, boolean>()
    this.#pods.on('namespace', (name) => {
      const now = this.#pods.namespaceLabels(name)?.[dataplaneModeLabel] === 'ambient'
      if (enabled.get(name) === now) return
      enabled.set(name, now)
      this.#log.info(now ? `Namespace ${name} is enabled in ambient mesh` : `Namespace ${name} is disabled from ambient mesh`)
    })
  }

  /** @param uninstall also what is on the node goes; pods keep what they have */
  async stop(uninstall: boolean): Promise<void> {
    this.#enroller.stop()
    await this.#plugin.close()
    await this.#proxies.close(uninstall)
    if (!uninstall) return
    this.#log.info('CNI ambient server terminating, cleaning up node net rules')
    await this.#redirection.teardownHost()
  }
}
