import { createServer, type Server, type Socket } from 'node:net'
import { formatAddress } from './address.ts'
import { closeGently } from './hand-over.ts'
import type { Log } from './log.ts'
import type { Placement } from './placement.ts'

// An argument of its own: with a descriptor, Node does not look at the option.
const backlog = 128

/** The listeners of one placement, and the connections that they accepted. */
export class Listeners {
  readonly #placement: Placement
  readonly #log: Log
  readonly #servers: Server[] = []
  readonly #accepted = new Set<Socket>()

  constructor(placement: Placement, log: Log) {
    this.#placement = placement
    this.#log = log
  }

  /** @param paused connections are handed over before anything is read @throws Error naming the address */
  async open(port: number, paused: boolean, onConnection: (socket: Socket) => void): Promise<void> {
    const address = { address: this.#placement.wildcard, port }
    try {
      const fd = this.#placement.bindTcp(address)
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: paused }, (socket) => {
        this.#accepted.add(socket)
        socket.once('close', () => this.#accepted.delete(socket))
        onConnection(socket)
      })
      this.#servers.push(server)
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen({ fd }, backlog, () => {
          server.off('error', reject)
          server.on('error', (error) => this.#log('warn', 'proxy', 'accept failed', { port, error: error.message }))
          resolve()
        })
      })
    } catch (error) {
      throw new Error(`failed to bind to address ${formatAddress(address)}: ${(error as Error).message}`)
    }
  }

  /** Accepts no more, without losing what has arrived. */
  async closeGently(): Promise<void> {
    await closeGently(this.#servers.splice(0))
  }

  /** Accepts no more; accepted connections are cut after a moment: a relay that was just aborted may still send what it has. */
  stop(): void {
    for (const server of this.#servers.splice(0)) server.close()
    setTimeout(() => {
      for (const socket of this.#accepted) socket.destroy()
    }, 100).unref()
  }
}
