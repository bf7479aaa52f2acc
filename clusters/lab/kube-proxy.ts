import { type ProxyRules, proxyRules, restoreText } from './kube-proxy/rules.ts'
import { Latest } from './latest.ts'
import { command } from './node/command.ts'
import type { View } from './view.ts'

/** Services change in bursts: rules are written this often at most, milliseconds (kube-proxy's minSyncPeriod is a second). */
const minimumMs = 50

export interface KubeProxyOptions {
  readonly view: View
  /** The node's network namespace as this process sees it, such as `/proc/123/ns/net`. */
  readonly netnsPath: string
  readonly onError: (error: Error) => void
}

export interface KubeProxy {
  /** Resolves when the node's rules say what the view says. */
  settled(): Promise<void>
  /** Stops following; the rules stay, and go with the node's namespace. */
  stop(): Promise<void>
}

/** Keeps a node's ClusterIP rules equal to Services and EndpointSlices. Only kube-proxy's own chains are ever touched. */
export async function startKubeProxy({ view, netnsPath, onError }: KubeProxyOptions): Promise<KubeProxy> {
  let applied: { rules: ProxyRules; text: string } | undefined
  const sync = new Latest(
    async () => {
      const rules = proxyRules(view.list('services'), view.list('endpointslices'))
      const text = restoreText(rules, { nat: [], filter: [] }, false)
      // Rewriting equal rules would give them new handles and zero their counters.
      if (text === applied?.text) return
      const stale = { nat: [...(applied?.rules.nat.keys() ?? [])], filter: [...(applied?.rules.filter.keys() ?? [])] }
      await command(['nsenter', `--net=${netnsPath}`, 'iptables-nft-restore', '--noflush'], restoreText(rules, stale, !applied))
      applied = { rules, text }
    },
    onError,
    minimumMs,
  )
  const unwatch = view.watch(['services', 'endpointslices'], () => sync.call())
  sync.call()
  await sync.settled()
  return {
    settled: () => sync.settled(),
    async stop() {
      unwatch()
      await sync.stop()
    },
  }
}
