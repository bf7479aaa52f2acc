import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Log, NodeProxy } from '../redirect/redirection.ts'
import { isZtunnel } from '../shared/eligibility.ts'
import { type NodeFile, nodeFileName } from '../shared/node-file.ts'
import { writeAtomically } from './install/files.ts'
import { RetryQueue } from './keyed-queue.ts'
import { closeNamespace, type Namespace } from './netns.ts'
import type { Pod, PodStore } from './pods.ts'

export interface NodeProxyParts {
  readonly pods: PodStore
  readonly systemNamespace: string
  readonly findNamespace: (uid: string) => Promise<Namespace | undefined>
  /** Joins the node to that proxy. */
  readonly activate: (proxy: NodeProxy) => Promise<void>
  /** The node has a proxy: pods that waited for one go on. */
  readonly onActive: () => void
  /** Folder of the file for the plugin, on the node. */
  readonly configDir: string
  readonly redirectMode: string
  readonly log: Log
}

/**
 * The one proxy that a node-wide mode joins the node to: of this node's ztunnel pods that are ready the newest. When none is ready the node
 * stays as it is, so that nothing goes on in plaintext.
 */
export class NodeProxies {
  readonly #parts: NodeProxyParts
  readonly #queue: RetryQueue
  #active: string | undefined

  constructor(parts: NodeProxyParts) {
    this.#parts = parts
    // Upstream notes the proxy before it joins it, and never tries again what failed.
    this.#queue = new RetryQueue(
      () => this.#settle(),
      (_, error, retryMs) => parts.log.error(`failed to join node and ztunnel: ${error.message}`, { retry_ms: retryMs }),
    )
  }

  listen(): void {
    this.#write(false)
    this.#parts.pods.on('pod', () => this.#queue.add('proxy'))
    this.#queue.add('proxy')
  }

  /** Resolves when the node has a proxy. @throws Error when it has none */
  async add(): Promise<void> {
    if (this.#active === undefined) throw new Error('no ztunnel is ready on this node')
  }

  /** The proxy is told of pods by the control plane alone. */
  async remove(): Promise<void> {}

  /** Upstream's file goes on saying that a proxy is ready. Resolves when nothing is joined any more. @param uninstall the file goes, too */
  async close(uninstall = false): Promise<void> {
    await this.#queue.close()
    if (uninstall) rmSync(this.#file, { force: true })
    else this.#write(false)
  }

  async #settle(): Promise<void> {
    const { pods, systemNamespace, activate, findNamespace, onActive, log } = this.#parts
    const newest = pods
      .all()
      .filter((p) => isZtunnel(p, systemNamespace) && p.ready && !p.deleting && !p.terminal && p.ips.length > 0)
      .sort(byAge)
      .at(-1)
    if (newest?.uid === this.#active) return
    if (!newest) {
      this.#active = undefined
      this.#write(false)
      return log.warn('no ztunnel is ready on this node: what is captured stays captured')
    }
    const namespace = await findNamespace(newest.uid)
    if (!namespace) throw new Error(`no process of ztunnel pod ${newest.namespace}/${newest.name} found on this node`)
    try {
      await activate(describe(newest, namespace))
    } finally {
      closeNamespace(namespace)
    }
    this.#active = newest.uid
    this.#write(true)
    log.info('ztunnel is active', { pod: `${newest.namespace}/${newest.name}`, uid: newest.uid })
    onActive()
  }

  /** The plugin must never read half of it. */
  #write(ztunnelReady: boolean): void {
    const { configDir, redirectMode } = this.#parts
    mkdirSync(configDir, { recursive: true })
    writeAtomically(this.#file, JSON.stringify({ ztunnelReady, redirectMode } satisfies NodeFile), 0o644)
  }

  get #file(): string {
    return join(this.#parts.configDir, nodeFileName)
  }
}

const byAge = (a: Pod, b: Pod) => a.createdAt.localeCompare(b.createdAt) || a.uid.localeCompare(b.uid)

function describe(pod: Pod, { fd }: Namespace): NodeProxy {
  const { uid, namespace, name, ips, env } = pod
  const address = ips.find((ip) => !ip.includes(':'))
  if (!address) throw new Error(`ztunnel pod ${namespace}/${name} has no IPv4 address (${ips.join(', ')})`)
  return { uid, namespace, name, address, netns: fd, dnsCapture: env.ISTIO_META_DNS_CAPTURE === 'true' }
}
