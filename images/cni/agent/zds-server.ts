import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { listenSeqpacket, type SeqpacketSocket } from '../../lib/seqpacket.ts'
import { maxMessage, type WorkloadInfo, type WorkloadRequest } from '../../lib/zds.ts'
import type { Log } from '../redirect/redirection.ts'
import { ZdsConnection } from './zds-connection.ts'

/** A pod as a proxy is told of it. */
export interface ProxyWorkload {
  readonly uid: string
  readonly info: WorkloadInfo
  /** Open descriptor of its network namespace; undefined: the pod is known, its namespace was not found. */
  readonly netns: number | undefined
}

export interface ZdsOptions {
  readonly path: string
  /** Proxies are told whose the UID is. */
  readonly workloadInfo: boolean
  readonly log: Log
  /** All pods that a new proxy must be told of. */
  readonly snapshot: () => readonly ProxyWorkload[]
  /** A new proxy has taken the snapshot. */
  readonly onSnapshotTaken?: () => void
  /** Hello, and the answer to each message, must come within this time. @default 5000 */
  readonly deadlineMs?: number
}

/** The agent's side of ZDS: proxies connect, are told of all pods, and then of each change. */
export class ZdsServer {
  readonly #options: ZdsOptions
  /** In the order of connecting: the last is the newest. */
  readonly #connections: ZdsConnection[] = []
  #listener: { close(): void } | undefined

  constructor(options: ZdsOptions) {
    this.#options = options
  }

  listen(): void {
    mkdirSync(dirname(this.#options.path), { recursive: true })
    this.#listener = listenSeqpacket(this.#options.path, maxMessage + 1, (socket) => this.#accept(socket))
  }

  get connected(): number {
    return this.#connections.length
  }

  /** Tells the newest proxy; resolves when it has answered that it serves the pod. @throws Error: no proxy, no answer in time, or its refusal */
  async add(workload: ProxyWorkload & { readonly netns: number }): Promise<void> {
    const newest = this.#connections.at(-1)
    if (!newest) throw new Error('no ztunnel connection')
    await newest.request(this.#add(workload), workload.netns)
  }

  /** Tells all proxies. Who is gone or does not answer needs no telling: it is dropped. */
  async remove(uid: string): Promise<void> {
    await Promise.all(
      this.#connections.map((connection) =>
        connection.request({ del: { uid } }).catch((error: Error) => {
          this.#options.log.error(`failed to delete workload from ztunnel: ${error.message}`, { conn_uuid: connection.id, uid })
        }),
      ),
    )
  }

  close(): void {
    this.#listener?.close()
    for (const connection of [...this.#connections]) connection.close()
  }

  #accept(socket: SeqpacketSocket): void {
    const { log, deadlineMs = 5000, onSnapshotTaken } = this.#options
    const connection = new ZdsConnection(socket, deadlineMs, (reason) => {
      const at = this.#connections.indexOf(connection)
      if (at >= 0) this.#connections.splice(at, 1)
      if (reason) log.error(`ztunnel connection closed: ${reason.message}`, { conn_uuid: connection.id })
      log.info(`ztunnel disconnected, total connected ${this.#connections.length}`, { conn_uuid: connection.id })
    })
    this.#connections.push(connection)
    log.info(`new ztunnel connected, total connected: ${this.#connections.length}`, { conn_uuid: connection.id })
    connection.start(
      (version) => log.info('received hello from ztunnel', { conn_uuid: connection.id, version: version === 1 ? 'V1' : version }),
      () => this.#snapshot(connection).then(onSnapshotTaken),
    )
  }

  #add({ uid, info }: ProxyWorkload): WorkloadRequest {
    return { add: this.#options.workloadInfo ? { uid, workloadInfo: info } : { uid } }
  }

  async #snapshot(connection: ZdsConnection): Promise<void> {
    // The whole snapshot is queued at once: what is added meanwhile comes after it.
    const told = this.#options.snapshot().map(async (workload) => {
      const { uid, netns } = workload
      const message: WorkloadRequest = netns === undefined ? { keep: { uid } } : this.#add(workload)
      try {
        await connection.request(message, netns)
      } catch (error) {
        this.#options.log.error(`failed to send a pod of the snapshot: ${(error as Error).message}`, { conn_uuid: connection.id, uid })
      }
    })
    await Promise.all([...told, connection.request({ snapshotSent: {} })])
  }
}
