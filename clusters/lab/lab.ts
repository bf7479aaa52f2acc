import { type ChildProcess, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { ApiClient, accessOf } from '../api-client.ts'
import type { Cluster, ClusterHandle, ClusterNode, ClusterOptions, Image } from '../cluster.ts'
import type { KubernetesObject } from '../kubernetes.ts'
import { Registry } from '../registry.ts'
import { attachNode } from './attach.ts'
import type { DaemonOptions, FromDaemon, ToDaemon } from './daemon-protocol.ts'
import { ownedEnvironment } from './node/owned.ts'
import { closedToOthers, nodeFlags, pinnedNode, repository } from './node/root.ts'

/** How long a lab may take to end by itself before it is killed, milliseconds. */
const endMs = 15_000

type Ready = Extract<FromDaemon, { say: 'ready' }>

/**
 * Makes a cluster of network namespaces on this host: nodes, API server, DNS, no mesh and no apps yet.
 * Its parts live in a process of their own, which ends with this one.
 * @throws Error that says why, with nothing left behind
 */
export async function createLab(options: ClusterOptions): Promise<Lab> {
  if (process.getuid?.() !== 0) throw new Error('a lab needs root: it makes namespaces and mounts; fix: sudo everyhop …')
  const closed = closedToOthers()
  if (closed !== undefined)
    throw new Error(`${closed} may be read by its owner only, and the mesh's pods run as other users; fix: chmod -R o+rX ${repository}`)
  const registry = Registry.open(options.id)
  if (options.topology.network === 'bridge') {
    await registry.teardown()
    throw new Error('the lab joins pods by links of their own, and this topology asks for a bridge; fix: network: ptp, or --provider kind')
  }
  registry.register({ kind: 'processes' })
  const lab = new Lab(options, registry)
  const abort = () => void lab[Symbol.asyncDispose]()
  options.signal?.addEventListener('abort', abort, { once: true })
  try {
    await lab.start()
    options.signal?.throwIfAborted()
    return lab
  } catch (error) {
    await lab[Symbol.asyncDispose]()
    options.signal?.throwIfAborted()
    throw error
  } finally {
    options.signal?.removeEventListener('abort', abort)
  }
}

export class Lab implements Cluster {
  readonly id: string
  readonly provider = 'lab'
  private ready: Ready = { say: 'ready', nodes: [], kubeconfig: '' }
  nodes: readonly ClusterNode[] = []
  private readonly options: ClusterOptions
  private readonly registry: Registry
  private readonly daemon: ChildProcess
  private readonly waiting = new Map<number, () => void>()
  private readonly problems: string[] = []
  private stderr = ''
  private lastId = 0
  private api: ApiClient | undefined
  private ending: Promise<void> | undefined

  constructor(options: ClusterOptions, registry: Registry) {
    this.id = options.id
    this.options = options
    this.registry = registry
    const daemonOptions: DaemonOptions = { id: options.id, directory: options.directory, nodes: options.topology.nodes }
    // Detached: Ctrl-C on a terminal reaches the run, and the run ends the lab.
    this.daemon = spawn(pinnedNode, [...nodeFlags, new URL('daemon.ts', import.meta.url).pathname, JSON.stringify(daemonOptions)], {
      env: { ...process.env, ...ownedEnvironment(registry) },
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.daemon.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-4000)
    })
    // Losing the channel shows as the process's end.
    this.daemon.on('error', () => {})
  }

  async start(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<Ready>()
    this.daemon.on('message', (message: FromDaemon) => {
      if (message.say === 'ready') resolve(message)
      else if (message.say === 'loaded') this.waiting.get(message.id)?.()
      else if (message.say === 'progress') this.options.onProgress?.(message.line)
      else {
        this.problems.push(message.message)
        this.options.onProgress?.(`problem: ${message.message}`)
      }
    })
    const died = () => reject(this.death())
    this.daemon.once('close', died)
    const ready = await promise
    this.daemon.off('close', died)
    this.ready = ready
    this.nodes = ready.nodes.map((node) => attachNode(node, this.id))
    this.api = new ApiClient(accessOf(ready.kubeconfig))
  }

  get kubeconfig(): string {
    return this.ready.kubeconfig
  }

  get handle(): ClusterHandle {
    const { kubeconfig, nodes } = this.ready
    return { id: this.id, provider: this.provider, kubeconfig, nodes }
  }

  async apply(objects: readonly KubernetesObject[]): Promise<void> {
    for (const object of objects) await this.client().apply(object)
  }

  async delete(objects: readonly KubernetesObject[]): Promise<void> {
    for (const object of objects) await this.client().delete(object)
  }

  async loadImages(images: readonly Image[]): Promise<void> {
    this.client()
    const id = ++this.lastId
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const died = () => reject(this.death())
    this.waiting.set(id, resolve)
    this.daemon.once('close', died)
    this.tell({ do: 'images', id, images })
    await promise.finally(() => {
      this.daemon.off('close', died)
      this.waiting.delete(id)
    })
  }

  async check(): Promise<void> {
    // Its answer, or its end, whichever comes: a connection that it held may break before its end is told.
    await this.loadImages([])
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.ending ??= this.end()
    return this.ending
  }

  private async end(): Promise<void> {
    this.api?.close()
    if (this.daemon.exitCode === null && this.daemon.signalCode === null && this.daemon.pid !== undefined) {
      const exit = new Promise((resolve) => this.daemon.once('exit', resolve))
      this.tell({ do: 'stop' })
      const kill = setTimeout(() => this.daemon.kill('SIGKILL'), endMs)
      await exit
      clearTimeout(kill)
    }
    if (this.kubeconfig) rmSync(this.kubeconfig, { force: true })
    // Whatever the lab's process did not remove.
    await this.registry.teardown()
  }

  private client(): ApiClient {
    if (!this.api || this.ending) throw new Error(`lab ${this.id} is not running`)
    if (this.daemon.exitCode !== null || this.daemon.signalCode !== null) throw this.death()
    return this.api
  }

  private tell(message: ToDaemon): void {
    // It may be dead already: that shows as its end, and must not end what waits for it in an error.
    if (this.daemon.connected) this.daemon.send(message, () => {})
  }

  private death(): Error {
    const { exitCode, signalCode } = this.daemon
    const why = [...this.problems, this.stderr.trim()].filter(Boolean).join('\n')
    return new Error(`the lab's process ended (${signalCode ?? `exit code ${exitCode}`})${why ? `: ${why}` : ''}`)
  }
}
