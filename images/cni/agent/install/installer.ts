import { type FSWatcher, mkdirSync, rmSync, watch } from 'node:fs'
import { join } from 'node:path'
import { modeRelease } from '../../redirect/modes.ts'
import type { Log } from '../../redirect/redirection.ts'
import { runFiles } from '../../shared/event.ts'
import { nodeFileName } from '../../shared/node-file.ts'
import type { AgentConfig } from '../config.ts'
import { eligibilityRules } from '../eligibility-rules.ts'
import { pluginName } from './conflist.ts'
import { bytesIfThere, readIfThere, writeAtomically } from './files.ts'
import { kubeconfig } from './kubeconfig.ts'
import { NetDir } from './net-dir.ts'
import { pluginFile } from './plugin-file.ts'

/** At most one repair in this time, as upstream's 0.2 a second. */
const repairEveryMs = 5000
const repairsBeforeHint = 5

/** Our plugin's own configuration: keys and values as upstream writes them. */
export function pluginEntry(config: AgentConfig): Record<string, unknown> {
  const { selectors, excludeNamespaces, annotationOptsOut } = eligibilityRules(config)
  const { tellsPlugin } = modeRelease(config.redirectMode, config.release).release
  return {
    name: pluginName,
    type: pluginName,
    plugin_log_level: config.logLevel,
    cni_agent_run_dir: config.runDir,
    ambient_enabled: config.ambientEnabled,
    enablement_selectors: selectors,
    exclude_namespaces: excludeNamespaces,
    pod_namespace: config.podNamespace,
    native_nftables: false,
    enable_ambient_detection_retry: config.detectionRetry,
    ...(annotationOptsOut ? { annotation_opts_out: true } : {}),
    ...(tellsPlugin ? { node_file: join(config.ambientConfigDir, nodeFileName) } : {}),
    dns: {},
    ipam: {},
  }
}

/** Puts the plugin on the node (executable, kubeconfig, entry in the network configuration), watches over it, and takes it away. */
export class Installer {
  readonly #config: AgentConfig
  readonly #log: Log
  readonly #net: NetDir
  readonly #watchers: FSWatcher[] = []
  readonly #repairEveryMs: number
  readonly #plugin: Buffer
  #installed = Promise.withResolvers<void>()
  #timer: NodeJS.Timeout | undefined
  #lastRepair = 0
  #repairs = 0

  /** @param repairMs least time between two repairs, for tests */
  constructor(config: AgentConfig, log: Log, repairMs = repairEveryMs) {
    this.#config = config
    this.#log = log
    this.#repairEveryMs = repairMs
    this.#plugin = pluginFile(config.pluginFile)
    this.#net = new NetDir(config.cniNetDir, config.cniConfName, pluginEntry(config), log)
    mkdirSync(config.cniBinDir, { recursive: true })
    mkdirSync(config.runDir, { recursive: true, mode: 0o750 })
  }

  get #executable(): string {
    return join(this.#config.cniBinDir, pluginName)
  }

  get #kubeconfig(): string {
    return join(this.#config.runDir, runFiles.kubeconfig)
  }

  /** Starts to install and to watch; resolves when all is in place: there may be no network configuration on the node yet. */
  async start(): Promise<void> {
    this.#log.info('initialization complete, watching node CNI dir')
    // Watch first: what changes while files are written is then seen as well.
    const { cniNetDir, cniBinDir, serviceAccountDir, runDir } = this.#config
    for (const directory of [cniNetDir, cniBinDir, serviceAccountDir, runDir])
      this.#watchers.push(
        watch(directory, (_, name) => {
          // The plugin logs into the run directory at each ADD; there only the kubeconfig matters.
          if (directory !== runDir || name === runFiles.kubeconfig) this.#changed()
        }).on('error', (e) => this.#log.error(`watch of ${directory}: ${e.message}`)),
      )
    if (!this.#apply(true)) this.#log.warn(`no CNI configuration in ${this.#config.cniNetDir} yet, waiting for the primary plugin's`)
    await this.#installed.promise
    this.#log.info('initial installation complete, start watching for re-installation')
  }

  /** Brings everything to what it should be. @returns is the plugin in use now? */
  #apply(first = false): boolean {
    const { serviceAccountDir, apiServer, cniBinDir } = this.#config
    if (!bytesIfThere(this.#executable)?.equals(this.#plugin)) {
      writeAtomically(this.#executable, this.#plugin, 0o755)
      this.#log.info(`Copied istio-cni to ${cniBinDir}`)
    }
    const access = kubeconfig(serviceAccountDir, apiServer)
    if (readIfThere(this.#kubeconfig) !== access) {
      writeAtomically(this.#kubeconfig, access, 0o600)
      this.#log.info(`wrote kubeconfig file ${this.#kubeconfig}`)
      // Another agent may write its own there: not in turns without a pause.
      if (!first) this.#lastRepair = Date.now()
    }
    const outcome = this.#net.ensure()
    if (outcome === 'none') return false
    if (outcome === 'written') this.#count()
    this.#installed.resolve()
    return true
  }

  #count(): void {
    this.#lastRepair = Date.now()
    if (++this.#repairs === repairsBeforeHint + 2)
      this.#log.warn(
        'our entry in the CNI configuration vanishes again and again: another plugin owns the file (Cilium: set cni.exclusive=false)',
      )
  }

  #changed(): void {
    if (this.#timer) return
    const wait = Math.max(0, this.#lastRepair + this.#repairEveryMs - Date.now())
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      try {
        this.#apply()
      } catch (error) {
        this.#log.error(`repair of the CNI installation failed: ${(error as Error).message}`)
        this.#lastRepair = Date.now()
        this.#changed()
      }
    }, wait)
  }

  stop(): void {
    for (const watcher of this.#watchers.splice(0)) watcher.close()
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Takes everything off the node: the entry first, so that no runtime looks for a plugin that is gone. */
  remove(): void {
    this.stop()
    this.#net.remove()
    rmSync(this.#kubeconfig, { force: true })
    rmSync(this.#executable, { force: true })
    for (const log of [runFiles.log, `${runFiles.log}.1`]) rmSync(join(this.#config.runDir, log), { force: true })
    this.#log.info('removed istio-cni from the node: CNI config entry, kubeconfig, executable, log')
  }
}
