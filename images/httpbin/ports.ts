import type { AddressInfo, Server, Socket } from 'node:net'
import type { Certificate, ServerResult } from '../lib/app-protocol.ts'
import { HboneListener } from './hbone.ts'

/** What the control socket can close and open. */
interface Openable {
  readonly number: number
  open(): Promise<void>
  close(): Promise<void>
}

/** A listening TCP port that can be closed (with all its connections) and opened again. */
export class TcpPort implements Openable {
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

/** The app's ports, as the control socket commands them. */
export class Ports {
  readonly #ports: Openable[] = []
  readonly #tunnels = new Map<number, HboneListener>()

  /** Opens a port. Returns its number. */
  async add(port: Openable): Promise<number> {
    await port.open()
    this.#ports.push(port)
    return port.number
  }

  /** Answers a line of the control socket; what is wrong with it is in the result. */
  async answer(line: string): Promise<ServerResult> {
    let id = ''
    try {
      const command = JSON.parse(line) as { id?: unknown; action?: unknown; port?: unknown; certificate?: Certificate } | null
      if (typeof command !== 'object' || command === null) throw new Error('not a JSON object')
      if (typeof command.id === 'string') id = command.id
      if (id === '') throw new Error('id must be a string that is not empty')
      const { action, port: number } = command
      if (action !== 'open' && action !== 'close' && action !== 'hbone')
        throw new Error(`action must be "open", "close" or "hbone", is ${JSON.stringify(action)}`)
      if (action === 'hbone') return await this.#openTunnels(id, number, command.certificate)
      const tunnels = this.#tunnels.get(number as number)
      if (action === 'close' && tunnels) {
        this.#tunnels.delete(number as number)
        await tunnels.close()
        return { id, ok: true }
      }
      const port = this.#ports.find((p) => p.number === number)
      if (!port) throw new Error(`port ${JSON.stringify(number)} is none of this server's: ${this.#ports.map((p) => p.number).join(', ')}`)
      await port[action]()
      return { id, ok: true }
    } catch (error) {
      return { id, ok: false, error: (error as Error).message }
    }
  }

  /** Anew with each certificate, so that no connection outlives the one that it was made with. */
  async #openTunnels(id: string, port: unknown, certificate: Certificate | undefined): Promise<ServerResult> {
    if (typeof port !== 'number' || !Number.isInteger(port) || port < 0 || port > 65_535)
      throw new Error(`port must be a whole number from 0 to 65535, is ${JSON.stringify(port)}`)
    if (!certificate) throw new Error('certificate must have chainPem, keyPem and rootPem')
    await this.#tunnels.get(port)?.close()
    const listener = await HboneListener.open(port, certificate)
    this.#tunnels.set(listener.port, listener)
    return { id, ok: true, port: listener.port }
  }
}
