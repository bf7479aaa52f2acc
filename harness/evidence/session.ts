import type { ChildProcess } from 'node:child_process'
import type { ClusterNode } from '../../clusters/cluster.ts'
import type { ClientRequest, ClientResult, ServerCommand, ServerResult } from '../../images/lib/app-protocol.ts'
import type { LoadCommand, LoadEnd } from '../../images/lib/load-protocol.ts'
import type { CollectorCommand, CollectorReply, PodReference } from './protocol.ts'
import { type EvidenceListener, EvidenceWriter } from './writer.ts'

/** The collector ended, or never understood us; what it had delivered is in the bundle. */
export class CollectorError extends Error {
  override name = 'CollectorError'
}

/** Command without its id, which the session gives. */
type Unsent<T> = T extends unknown ? Omit<T, 'id'> : never

const stderrKept = 4000
/** From `stop` to the end of the process, milliseconds. */
const stopTimeout = 10_000

/**
 * A running collector on one node. Evidence goes into the bundle as it comes; a command's promise resolves when all evidence that it caused is in the files,
 * and rejects with the collector's reason (CollectorError), or with how the process ended when that happens first.
 */
export class CollectorSession implements AsyncDisposable {
  readonly node: string
  /** Resolves when the process has ended and all it delivered is in the files; never rejects. */
  readonly ended: Promise<void>
  readonly #process: ChildProcess
  readonly #writer: EvidenceWriter
  readonly #pending = new Map<string, { command: string; resolve(result: unknown): void; reject(reason: Error): void }>()
  #next = 1
  #end: string | undefined
  #broken: string | undefined
  #stderr = ''

  /**
   * Starts a collector on the node. It watches nothing yet.
   * @param bundle directory of the bundle
   * @param onEvidence told of every piece of evidence once it is in its file
   * @param ring packet ring of each namespace, MB of kernel memory; more for traffic that comes in large bursts
   */
  constructor(node: Pick<ClusterNode, 'name' | 'runProgram'>, bundle: string, onEvidence?: EvidenceListener, ring = 6) {
    this.node = node.name
    this.#writer = new EvidenceWriter(bundle, node.name, onEvidence)
    const child = node.runProgram('harness/evidence/collector.ts', [node.name, String(ring)])
    this.#process = child
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ended = promise
    child.stdout?.on('data', (piece: Buffer) => this.#take(piece))
    child.stderr?.on('data', (piece: Buffer) => {
      this.#stderr = (this.#stderr + piece).slice(-stderrKept)
    })
    // Written to a process that is gone: 'close' tells.
    child.stdin?.on('error', () => {})
    const finish = (how: string) => {
      if (this.#end !== undefined) return
      this.#end = how
      this.#writer.close()
      for (const { command, reject } of this.#pending.values()) reject(this.#error(`${command}: ${how}`))
      this.#pending.clear()
      resolve()
    }
    child.on('error', (error) => finish(`could not be started: ${error.message}`))
    child.on('close', (code, signal) => finish(this.#broken ?? `ended (${signal ?? `exit code ${code}`}) before it answered`))
  }

  #error(what: string): CollectorError {
    const words = this.#stderr.trim()
    return new CollectorError(`collector on node ${this.node}: ${what}${words ? `\n${words}` : ''}`)
  }

  #take(piece: Buffer): void {
    if (this.#broken !== undefined) return
    try {
      for (const reply of this.#writer.push(piece)) this.#answer(reply)
    } catch (error) {
      // A disk that is full, a stream that is no frames: nothing that follows could be trusted.
      this.#broken = (error as Error).message
      this.#process.kill('SIGKILL')
    }
  }

  #answer(reply: CollectorReply): void {
    const pending = this.#pending.get(reply.id)
    this.#pending.delete(reply.id)
    if (reply.ok) pending?.resolve(reply.result)
    else pending?.reject(this.#error(`${pending.command}: ${reply.error}`))
  }

  #send(command: Unsent<CollectorCommand>): Promise<unknown> {
    if (this.#end !== undefined) return Promise.reject(this.#error(`${command.do}: ${this.#end}`))
    const id = String(this.#next++)
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#pending.set(id, { command: command.do, resolve, reject })
    this.#process.stdin?.write(`${JSON.stringify({ id, ...command })}\n`)
    return promise
  }

  /** Opens the streams of these pods' namespaces and of the node's own; may be called again with more. @returns the bundle's names of all watched namespaces */
  async watch(pods: readonly PodReference[]): Promise<string[]> {
    return (await this.#send({ do: 'watch', pods })) as string[]
  }

  /** Closes them again; needed before a pod goes, because open sockets keep its namespace alive. */
  async unwatch(pods: readonly PodReference[]): Promise<void> {
    await this.#send({ do: 'unwatch', pods })
  }

  /** Proves that packets and traces of every watched namespace are alive, and has everything before it written. @param marker exactly 12 printable ASCII characters */
  async mark(marker: string): Promise<void> {
    await this.#send({ do: 'mark', marker })
  }

  /** Takes the dumps of every watched namespace into `snapshots/LABEL/NODE`. */
  async snapshot(label: string): Promise<void> {
    await this.#send({ do: 'snapshot', label })
  }

  /** Has a pod's sleep do a request; without a pod the node itself does it, as a kubelet's probe comes. */
  async request(request: ClientRequest, pod?: { readonly uid: string }): Promise<ClientResult> {
    return (await this.#send({ do: 'request', request, pod })) as ClientResult
  }

  /** Tells a pod's httpbin to open or close a port. */
  async server(command: ServerCommand, pod: { readonly uid: string }): Promise<ServerResult> {
    return (await this.#send({ do: 'server', command, pod })) as ServerResult
  }

  /**
   * From now on flows of these clients are a load's: left out of packets, traces, connections and sockets, in all watched namespaces, and of the nodes' logs. All others are told as ever, but that their
   * connections are entries instead of events, and their sockets told when they are known instead of when they are destroyed.
   * @param clients IPv4 addresses; none: everything is watched again
   * @param search their packets are read, not written: each token that begins so is told once for each device where it is readable; logs are whole, for what servers tell of the load
   */
  async spare(clients: readonly string[], search?: string): Promise<void> {
    await this.#send({ do: 'spare', clients, search })
  }

  /** Has a pod's sleep make a load, until it is told to end; the lines are in `loads.jsonl` as they are made. */
  async load(load: LoadCommand, pod: { readonly uid: string }): Promise<LoadEnd> {
    return (await this.#send({ do: 'load', load, pod })) as LoadEnd
  }

  async endLoad(load: string, pod: { readonly uid: string }): Promise<void> {
    await this.#send({ do: 'end-load', stop: { id: `end ${load}`, stop: load }, pod })
  }

  /** Last evidence, own rules removed, process ended. Safe to call twice, and when it is gone already. */
  async stop(): Promise<void> {
    if (this.#end !== undefined) return
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), stopTimeout)
    try {
      await this.#send({ do: 'stop' })
      await this.ended
    } finally {
      clearTimeout(timer)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => {})
  }
}
