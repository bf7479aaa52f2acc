import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { AF_INET, SOCK_STREAM } from '../../images/lib/libc.ts'
import { socketInNetns } from '../../images/lib/netns.ts'
import type { Image } from '../cluster.ts'
import type { Registry } from '../registry.ts'
import { apiCalls } from './api-calls.ts'
import { type ApiServer, createApiServer } from './apiserver/server.ts'
import { resources } from './apiserver/store.ts'
import type { Pod } from './apiserver/types.ts'
import { warmCompileCache } from './compile-cache.ts'
import { startControllers } from './controllers/controllers.ts'
import type { DaemonOptions, ReadyNode } from './daemon-protocol.ts'
import { type DnsServer, dnsObjects, startDns } from './dns.ts'
import { type KubeProxy, startKubeProxy } from './kube-proxy.ts'
import { type Kubelet, startKubelet } from './kubelet/kubelet.ts'
import type { ImageTable } from './kubelet/start-container.ts'
import { storeApi } from './kubelet/store-api.ts'
import { type Fabric, fabricAddress, startFabric } from './node/fabric.ts'
import { type LabNode, startNode } from './node/node.ts'
import { nodeFlags, pinnedNode, repository } from './node/root.ts'
import { storeView } from './store-view.ts'

/** Port of the API server in the fabric, as kubeadm's. */
const apiPort = 6443

/** Everything that one lab runs in its process, in the order in which it starts and, reversed, ends. */
export class Machinery {
  private readonly options: DaemonOptions
  private readonly registry: Registry
  private readonly onError: (error: Error) => void
  private readonly images = new Map<string, { argv: readonly string[] }>()
  private starting: Promise<unknown> | undefined
  private fabric: Fabric | undefined
  private api: ApiServer | undefined
  private dns: DnsServer | undefined
  private stopControllers: (() => void | Promise<void>) | undefined
  private readonly nodes: LabNode[] = []
  private readonly kubelets: Kubelet[] = []
  private readonly proxies: KubeProxy[] = []

  constructor(options: DaemonOptions, registry: Registry, onError: (error: Error) => void) {
    this.options = options
    this.registry = registry
    this.onError = onError
  }

  start(onProgress: (line: string) => void): Promise<{ nodes: ReadyNode[]; kubeconfig: string }> {
    const starting = this.startAll(onProgress)
    this.starting = starting
    return starting
  }

  private async startAll(onProgress: (line: string) => void): Promise<{ nodes: ReadyNode[]; kubeconfig: string }> {
    const { registry, options } = this
    warmCompileCache(registry)
    const fabric = await startFabric({ registry })
    this.fabric = fabric
    onProgress(`network of ${options.nodes.length} nodes`)
    const settled = await Promise.allSettled([
      this.startApi(fabric),
      ...options.nodes.map(async (name, i) => {
        this.nodes[i] = await startNode({ name, index: i + 1, directory: options.directory, registry, fabric })
      }),
    ])
    // Wait for all before failing: what has started must be known to stop().
    for (const result of settled) if (result.status === 'rejected') throw result.reason
    const api = this.api as ApiServer
    onProgress(`nodes ${options.nodes.join(', ')} and their API server`)
    const { store } = api
    const view = storeView(store)
    this.stopControllers = startControllers(store, { caPem: api.caPem, onError: this.onError })
    for (const object of dnsObjects(fabricAddress)) {
      store.create(object.kind === 'Service' ? resources.services : resources.endpointslices, object as never)
    }
    const kubeletApi = storeApi({
      store,
      caBundle: api.caPem,
      issueToken: async ({ namespace, serviceAccount, audience, expirationSeconds, pod }) => {
        const { token } = api.tokens.issue(
          { namespace, name: serviceAccount },
          { ...(audience ? { audiences: [audience] } : {}), expirationSeconds, boundObjectRef: { kind: 'Pod', apiVersion: 'v1', ...pod } },
        )
        return { token, expirationSeconds }
      },
    })
    this.dns = await startDns({ view, netnsPath: fabric.netnsPath, address: fabricAddress })
    await Promise.all(
      this.nodes.map(async (node) => {
        const [proxy, kubelet] = await Promise.all([
          startKubeProxy({ view, netnsPath: node.netnsPath, onError: this.onError }),
          startKubelet({ node, api: kubeletApi, registry, images: this.images }),
        ])
        this.proxies.push(proxy)
        this.kubelets.push(kubelet)
      }),
    )
    const kubeconfig = join(options.directory, 'kubeconfig')
    writeFileSync(kubeconfig, api.kubeconfig(`https://127.0.0.1:${api.ports[1]}`), { mode: 0o600 })
    return { kubeconfig, nodes: this.nodes.map(({ name, address, initPid }) => ({ name, address, initPid })) }
  }

  /** Containers that start from now on find these images too. */
  setImages(images: readonly Image[]): void {
    for (const { name, source, entry } of images)
      this.images.set(name, { argv: [pinnedNode, ...nodeFlags, resolve(repository, source, entry)] })
    const table: ImageTable = new Map(this.images)
    for (const kubelet of this.kubelets) kubelet.setImages(table)
  }

  /** Idempotent, also after a start that failed half way. Goes on to the end whatever fails, then throws the first failure. */
  async stop(): Promise<void> {
    // What is being made must be there before it can be taken down.
    await this.starting?.catch(() => {})
    const failures: unknown[] = []
    const attempt = async (work: () => unknown) => {
      try {
        await work()
      } catch (error) {
        failures.push(error)
      }
    }
    await attempt(() => this.stopControllers?.())
    await Promise.all([...this.proxies, ...this.kubelets].map((part) => attempt(() => part.stop())))
    await attempt(() => this.dns?.close())
    await attempt(() => this.api?.close())
    await Promise.all(this.nodes.filter(Boolean).map((node) => attempt(() => node.teardown())))
    await attempt(() => this.fabric?.teardown())
    if (failures.length > 0) throw failures[0]
  }

  private async startApi(fabric: Fabric): Promise<void> {
    const netns = openSync(fabric.netnsPath, 'r')
    try {
      const bind = { address: fabricAddress, port: apiPort }
      this.api = await createApiServer({
        listeners: [{ fd: socketInNetns(netns, AF_INET, SOCK_STREAM, { reuseAddress: true, bind }) }, { host: '127.0.0.1', port: 0 }],
        names: [fabricAddress],
        advertise: bind,
        onDecision: apiCalls(join(this.options.directory, 'api-calls.jsonl')),
        podLog: (pod, container) => this.readLog(pod, container),
      })
    } finally {
      closeSync(netns)
    }
  }

  /** The newest attempt's log, as CRI wrote it. */
  private readLog(pod: Pod, container: string): string {
    const node = this.nodes.find((n) => n.name === pod.spec.nodeName)
    if (!node) return ''
    const { namespace, name, uid } = pod.metadata
    const directory = node.hostPath(`/var/log/pods/${namespace}_${name}_${uid}/${container}`)
    const attempts = readdirSync(directory).map((file) => Number.parseInt(file, 10))
    return readFileSync(join(directory, `${Math.max(...attempts)}.log`), 'utf8')
  }
}
