import type { AddressInfo, Server, Socket } from 'node:net'
import type { ServerCommand, ServerResult } from '../lib/app-protocol.ts'

/** A listening TCP port that can be closed (with all its connections) and opened again. */
class Port {
  readonly #server: Server
  readonly #connections = new Set<Socket>()
  #work: Promise<unknown> = Promise.resolve()
  number: number

  constructor(server: Server, number: number) {
    this.#server = server
    this.number = number
    server.on('connection', (socket) => {
      this.#connections.add(socket)
      socket.once('close', () => this.#connections.delete(socket))
    })
  }

  /** Listens on all addresses, IPv6 and IPv4 on one socket; on IPv4 alone where the kernel has no IPv6. No-op when it listens. */
  open(): Promise<void> {
    return this.#next(async () => {
      if (this.#server.listening) return
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      this.#server.once('error', reject)
      // Without a host Node tries :: first and falls back to 0.0.0.0.
      this.#server.listen({ port: this.number }, resolve)
      await promise.finally(() => this.#server.off('error', reject))
      this.number = (this.#server.address() as AddressInfo).port
    })
  }

  /** Stops listening and destroys the connections; done when all are gone. No-op when it does not listen. */
  close(): Promise<void> {
    return this.#next(async () => {
      if (!this.#server.listening) return
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#server.close(() => resolve())
      for (const socket of this.#connections) socket.destroy()
      await promise
    })
  }

  /** One after the other: a close right behind an open must find it done. */
  #next(work: () => Promise<void>): Promise<void> {
    const result = this.#work.then(work)
    this.#work = result.catch(() => {})
    return result
  }
}

/** The app's TCP ports, as the control socket commands them. */
export class Ports {
  readonly #ports: Port[] = []

  /** Opens a port; 0 lets the kernel choose. Returns its number. */
  async add(server: Server, number: number): Promise<number> {
    const port = new Port(server, number)
    await port.open()
    this.#ports.push(port)
    return port.number
  }

  /** Answers a line of the control socket; what is wrong with it is in the result. */
  async answer(line: string): Promise<ServerResult> {
    let id = ''
    try {
      const command = JSON.parse(line) as Partial<ServerCommand> | null
      if (typeof command !== 'object' || command === null) throw new Error('not a JSON object')
      if (typeof command.id === 'string') id = command.id
      if (id === '') throw new Error('id must be a string that is not empty')
      if (command.action !== 'open' && command.action !== 'close')
        throw new Error(`action must be "open" or "close", is ${JSON.stringify(command.action)}`)
      const port = this.#ports.find((p) => p.number === command.port)
      if (!port)
        throw new Error(`port ${JSON.stringify(command.port)} is none of this server's: ${this.#ports.map((p) => p.number).join(', ')}`)
      await port[command.action]()
      return { id, ok: true }
    } catch (error) {
      return { id, ok: false, error: (error as Error).message }
    }
  }
}
