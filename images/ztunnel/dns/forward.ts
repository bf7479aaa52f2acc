import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import type { Socket } from 'node:net'
import type { Placement } from '../placement.ts'

const port = 53
const timeout = 5_000
const attempts = 2
const maxUnderWay = 1_000

type Sockets = Pick<Placement, 'bindUdp' | 'dial'>

/**
 * Sends questions that are not ours to the cluster's name servers, from where the sockets are made, and gives their answers back as they came.
 * Questions travel with an id and a source port of their own, so that neither can be guessed.
 */
export class Forwarder {
  readonly #sockets: Sockets
  readonly #servers: () => readonly string[]
  readonly #open = new Set<() => void>()

  constructor(sockets: Sockets, servers: () => readonly string[]) {
    this.#sockets = sockets
    this.#servers = servers
  }

  /** @throws Error when no server answered */
  async ask(question: Buffer, transport: 'udp' | 'tcp'): Promise<Buffer> {
    if (this.#open.size >= maxUnderWay) throw new Error('too many questions under way')
    const servers = this.#servers()
    if (servers.length === 0) throw new Error('no nameserver in resolv.conf')
    let last: unknown
    for (let attempt = 0; attempt < attempts; attempt++) {
      for (const server of servers) {
        try {
          const id = randomInt(0x10000)
          const asked = Buffer.from(question)
          asked.writeUInt16BE(id, 0)
          const answer = await (transport === 'udp' ? this.#udp(server, asked, id) : this.#tcp(server, asked, id))
          answer.writeUInt16BE(question.readUInt16BE(0), 0)
          return answer
        } catch (error) {
          last = error
        }
      }
    }
    throw last
  }

  #udp(server: string, question: Buffer, id: number): Promise<Buffer> {
    const v6 = server.includes(':')
    const fd = this.#sockets.bindUdp({ address: v6 ? '::' : '0.0.0.0', port: 0 })
    const socket = createSocket(v6 ? 'udp6' : 'udp4')
    return this.#exchange(
      (resolve, reject) => {
        socket.on('error', reject)
        socket.on('message', (message, from) => {
          if (from.port === port && message.length >= 12 && message.readUInt16BE(0) === id) resolve(Buffer.from(message))
        })
        socket.bind({ fd }, () => socket.send(question, port, server, (error) => error && reject(error)))
      },
      () => socket.close(),
    )
  }

  #tcp(server: string, question: Buffer, id: number): Promise<Buffer> {
    let socket: Socket | undefined
    return this.#exchange(
      (resolve, reject) => {
        const dialled = this.#sockets.dial({ address: server, port })
        socket = dialled
        const reader = new FrameReader((message) => {
          if (message.length >= 12 && message.readUInt16BE(0) === id) resolve(message)
        })
        dialled.on('error', reject)
        dialled.on('end', () => reject(new Error('the server closed')))
        dialled.on('data', (chunk) => reader.push(chunk))
        dialled.write(frame(question))
      },
      () => socket?.destroy(),
    )
  }

  #exchange(run: (resolve: (b: Buffer) => void, reject: (e: Error) => void) => void, close: () => void): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
    const timer = setTimeout(() => reject(new Error(`no answer within ${timeout} ms`)), timeout)
    const stop = () => reject(new Error('the proxy is shutting down'))
    this.#open.add(stop)
    try {
      run(resolve, reject)
    } catch (error) {
      reject(error as Error)
    }
    return promise.finally(() => {
      clearTimeout(timer)
      this.#open.delete(stop)
      close()
    })
  }

  close(): void {
    for (const stop of [...this.#open]) stop()
  }
}

/** DNS over TCP: two bytes of length, then the message (RFC 1035 4.2.2). */
export function frame(message: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(message.length)
  return Buffer.concat([length, message])
}

/** Cuts a TCP stream into DNS messages; holds at most one unfinished message. */
export class FrameReader {
  readonly #onMessage: (message: Buffer) => void
  #rest = Buffer.alloc(0)

  constructor(onMessage: (message: Buffer) => void) {
    this.#onMessage = onMessage
  }

  push(chunk: Buffer): void {
    let data = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    while (data.length >= 2 && data.length >= 2 + data.readUInt16BE(0)) {
      const end = 2 + data.readUInt16BE(0)
      this.#onMessage(Buffer.from(data.subarray(2, end)))
      data = data.subarray(end)
    }
    this.#rest = Buffer.from(data)
  }
}
