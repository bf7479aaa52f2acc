import { randomUUID } from 'node:crypto'
import { closeSync, openSync } from 'node:fs'
import type { Packet, SeqpacketSocket } from '../../lib/seqpacket.ts'
import { decodeHello, decodeResponse, encodeRequest, maxMessage, type WorkloadRequest } from '../../lib/zds.ts'

interface Pending {
  readonly message: WorkloadRequest
  readonly fd: number | undefined
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** One proxy: requests go out one at a time, each after the answer to the one before. */
export class ZdsConnection {
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
