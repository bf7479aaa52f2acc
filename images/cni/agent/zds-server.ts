import { randomUUID } from 'node:crypto'
import { closeSync, openSync } from 'node:fs'
import { listenSeqpacket, type Packet, type SeqpacketSocket } from '../../lib/seqpacket.ts'
import { decodeHello, decodeResponse, encodeRequest, maxMessage, type WorkloadInfo, type WorkloadRequest } from '../../lib/zds.ts'
import type { Log } from '../redirect/redirection.ts'

/** A pod as a proxy is told of it. */
export interface ProxyWorkload {
  readonly uid: string
  readonly info: WorkloadInfo
  /** Open descriptor of its network namespace; undefined: the pod is known, its namespace was not found. */
  readonly netns: number | undefined
}

export interface ZdsOptions {
  readonly path: string
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
  readonly #connections: Connection[] = []
  #listener: { close(): void } | undefined

  constructor(options: ZdsOptions) {
    this.#options = options
  }

  listen(): void {
    this.#listener = listenSeqpacket(this.#options.path, maxMessage + 1, (socket) => this.#accept(socket))
  }

  get connected(): number {
    return this.#connections.length
  }

  /** Tells the newest proxy; resolves when it has answered that it serves the pod. @throws Error: no proxy, no answer in time, or its refusal */
  async add(workload: ProxyWorkload & { readonly netns: number }): Promise<void> {
    const newest = this.#connections.at(-1)
    if (!newest) throw new Error('no ztunnel connected')
    await newest.request({ add: { uid: workload.uid, workloadInfo: workload.info } }, workload.netns)
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
    const connection = new Connection(socket, deadlineMs, (reason) => {
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

  async #snapshot(connection: Connection): Promise<void> {
    // The whole snapshot is queued at once: what is added meanwhile comes after it.
    const told = this.#options.snapshot().map(async ({ uid, info, netns }) => {
      const message: WorkloadRequest = netns === undefined ? { keep: { uid } } : { add: { uid, workloadInfo: info } }
      try {
        await connection.request(message, netns)
      } catch (error) {
        this.#options.log.error(`failed to send a pod of the snapshot: ${(error as Error).message}`, { conn_uuid: connection.id, uid })
      }
    })
    await Promise.all([...told, connection.request({ snapshotSent: {} })])
  }
}

interface Pending {
  readonly message: WorkloadRequest
  readonly fd: number | undefined
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** One proxy: requests go out one at a time, each after the answer to the one before. */
class Connection {
  readonly id = randomUUID()
  readonly #socket: SeqpacketSocket
  readonly #deadlineMs: number
  readonly #onClose: (reason?: Error) => void
  readonly #queue: Pending[] = []
  #current: Pending | undefined
  #deadline: NodeJS.Timeout | undefined
  #state: 'hello' | 'open' | 'closed' = 'hello'

  constructor(socket: SeqpacketSocket, deadlineMs: number, onClose: (reason?: Error) => void) {
    this.#socket = socket
    this.#deadlineMs = deadlineMs
    this.#onClose = onClose
  }

  start(onHello: (version: number) => void, onOpen: () => Promise<unknown>): void {
    this.#await('hello')
    this.#socket.start(
      (packet) => {
        try {
          const bytes = checked(packet)
          if (this.#state === 'open') this.#answer(decodeResponse(bytes).ack.error)
          else {
            onHello(decodeHello(bytes).version)
            this.#open(onOpen)
          }
        } catch (error) {
          this.close(error as Error)
        }
      },
      (error) => this.close(error),
    )
  }

  #open(onOpen: () => Promise<unknown>): void {
    clearTimeout(this.#deadline)
    this.#state = 'open'
    // The snapshot comes before anything that was asked for since the connection was made.
    const early = this.#queue.splice(0)
    onOpen().catch(() => {})
    this.#queue.push(...early)
    this.#next()
  }

  /** Resolves on an ack without error. @param netns the caller may close it at any time */
  async request(message: WorkloadRequest, netns?: number): Promise<void> {
    if (this.#state === 'closed') throw new Error('ztunnel disconnected')
    // A copy: when its turn comes, the number may stand for something else.
    const fd = netns === undefined ? undefined : openSync(`/proc/self/fd/${netns}`, 'r')
    try {
      await new Promise<void>((resolve, reject) => {
        this.#queue.push({ message, fd, resolve, reject })
        this.#next()
      })
    } finally {
      if (fd !== undefined) closeSync(fd)
    }
  }

  #next(): void {
    if (this.#state !== 'open' || this.#current) return
    this.#current = this.#queue.shift()
    if (!this.#current) return
    const { message, fd, reject } = this.#current
    let bytes: Buffer
    try {
      bytes = encodeRequest(message)
    } catch (error) {
      this.#current = undefined
      reject(error as Error)
      this.#next()
      return
    }
    this.#await(`the answer to ${Object.keys(message)[0]}`)
    try {
      this.#socket.send(bytes, fd === undefined ? [] : [fd])
    } catch (error) {
      this.close(error as Error)
    }
  }

  #answer(error: string | undefined): void {
    const answered = this.#current
    if (!answered) {
      this.close(new Error('an answer that nothing was asked for'))
      return
    }
    clearTimeout(this.#deadline)
    this.#current = undefined
    if (error) answered.reject(new Error(`ztunnel refused: ${error}`))
    else answered.resolve()
    this.#next()
  }

  #await(what: string): void {
    this.#deadline = setTimeout(() => this.close(new Error(`timed out after ${this.#deadlineMs} ms waiting for ${what}`)), this.#deadlineMs)
  }

  close(reason?: Error): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    clearTimeout(this.#deadline)
    this.#socket.close()
    const waiting = [...(this.#current ? [this.#current] : []), ...this.#queue.splice(0)]
    this.#current = undefined
    this.#onClose(reason)
    for (const { reject } of waiting) reject(reason ?? new Error('ztunnel disconnected'))
  }
}

/** The bytes of a packet that is allowed: whole, and without descriptors. */
function checked(packet: Packet): Buffer {
  for (const fd of packet.fds) closeSync(fd)
  if (packet.truncated) throw new Error(`a packet longer than ${maxMessage} bytes`)
  if (packet.fds.length > 0) throw new Error('a packet with descriptors, which only the agent may send')
  return packet.data
}
