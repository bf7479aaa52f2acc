import { closeSync } from 'node:fs'
import { type Packet, SeqpacketSocket } from '../lib/seqpacket.ts'
import { decodeRequest, encodeHello, encodeResponse, maxMessage } from '../lib/zds.ts'
import type { Log } from './log.ts'
import { type PodManager, ProxyStartError } from './manager.ts'

const firstDelay = 10
const longestDelay = 15_000
/** A long error would not fit into one message. */
const maxErrorBytes = 900

/**
 * Keeps a ZDS stream to the node agent (fact sheet: in-pod mode, 3.3): hello, then every message handled and acknowledged in order. When the stream ends,
 * proxies go on; the client connects again after 10 ms, doubling to 15 s as long as no snapshot came through.
 */
export class ZdsClient {
  readonly #path: string
  readonly #manager: PodManager
  readonly #infoRequired: boolean
  readonly #log: Log
  #delay = firstDelay
  #timer: NodeJS.Timeout | undefined
  #socket: SeqpacketSocket | undefined
  #stopped = false

  constructor(path: string, manager: PodManager, log: Log, options: { infoRequired: boolean }) {
    this.#path = path
    this.#manager = manager
    this.#infoRequired = options.infoRequired
    this.#log = log
  }

  start(): void {
    if (this.#stopped) return
    let socket: SeqpacketSocket
    try {
      socket = SeqpacketSocket.connect(this.#path, maxMessage)
    } catch (error) {
      this.#log('warn', scope, `failed to connect to the Istio CNI node agent over ${this.#path}`, { error: (error as Error).message })
      this.#again()
      return
    }
    this.#socket = socket
    this.#log('info', scope, 'handling new stream')
    this.#manager.streamStarted()
    let queue = Promise.resolve()
    let ended = false
    const end = (error?: Error) => {
      if (ended) return
      ended = true
      socket.close()
      if (this.#socket === socket) this.#socket = undefined
      this.#manager.streamEnded()
      if (this.#stopped) return
      if (error) this.#log('error', scope, 'stream to the node agent failed', { error: error.message })
      else this.#log('info', scope, 'process stream ended with eof')
      this.#again()
    }
    socket.start(
      (packet) => {
        queue = queue.then(() => (ended ? drop(packet) : this.#handle(socket, packet).catch(end)))
      },
      (error) => {
        queue = queue.then(() => end(error))
      },
    )
    try {
      socket.send(encodeHello())
    } catch (error) {
      end(error as Error)
    }
  }

  /** Rejects when the stream has to end. */
  async #handle(socket: SeqpacketSocket, packet: Packet): Promise<void> {
    let failure: Error | undefined
    try {
      await this.#apply(packet)
    } catch (error) {
      failure = error as Error
    }
    socket.send(encodeResponse({ ack: failure ? { error: cut(failure.message) } : {} }))
    if (failure && !(failure instanceof ProxyStartError)) throw failure
  }

  async #apply(packet: Packet): Promise<void> {
    const fds = [...packet.fds]
    try {
      if (packet.truncated) throw new Error(`ZDS message is longer than ${maxMessage} bytes or carries too many descriptors`)
      const message = decodeRequest(packet.data)
      if (!('add' in message)) {
        if (fds.length > 0) throw new Error('ZDS message other than add carries a descriptor')
        if ('del' in message) this.#manager.delete(message.del.uid)
        else if ('keep' in message) this.#manager.keep(message.keep.uid)
        else {
          this.#manager.snapshotSent()
          this.#delay = firstDelay
        }
        return
      }
      const { uid, workloadInfo } = message.add
      if (uid === '') throw new Error('ZDS add without a uid')
      if (fds.length !== 1) throw new Error(`ZDS add for ${uid} carries ${fds.length} descriptors, expected the network namespace`)
      if (!workloadInfo && this.#infoRequired) throw new Error('workload_info is required but not present')
      await this.#manager.add(uid, workloadInfo, fds.shift()!)
    } finally {
      for (const fd of fds) closeSync(fd)
    }
  }

  #again(): void {
    this.#timer = setTimeout(() => this.start(), this.#delay)
    this.#delay = Math.min(this.#delay * 2, longestDelay)
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#socket?.close()
  }
}

const scope = 'inpod::workloadmanager'

function drop(packet: Packet): void {
  for (const fd of packet.fds) closeSync(fd)
}

function cut(message: string): string {
  const bytes = Buffer.from(message)
  return bytes.length <= maxErrorBytes
    ? message
    : `${bytes
        .subarray(0, maxErrorBytes)
        .toString('utf8')
        .replace(/\uFFFD$/, '')}…`
}
