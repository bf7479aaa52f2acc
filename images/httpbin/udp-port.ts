import type { Socket } from 'node:dgram'
import { udpEcho } from './echo.ts'

/** The bound UDP port, which can be closed and opened again. */
export class UdpPort {
  #socket: Socket | undefined
  number: number

  /** @param number 0 lets the kernel choose */
  constructor(number: number) {
    this.number = number
  }

  /** Binds it on all addresses, IPv6 and IPv4 on one socket; on IPv4 alone where the kernel has no IPv6. No-op when it is bound. */
  async open(): Promise<void> {
    if (this.#socket) return
    for (const family of ['udp6', 'udp4'] as const) {
      const socket = udpEcho(family)
      const { promise, resolve } = Promise.withResolvers<Error | undefined>()
      socket.once('error', resolve)
      socket.bind({ port: this.number, address: family === 'udp6' ? '::' : '0.0.0.0' }, () => resolve(undefined))
      const problem = await promise
      // Later errors belong to single datagrams (an unreachable peer): nothing to do about them.
      socket.on('error', () => {})
      if (!problem) {
        this.#socket = socket
        this.number = socket.address().port
        return
      }
      socket.close()
      const { code } = problem as NodeJS.ErrnoException
      if (family === 'udp4' || (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL')) throw problem
    }
  }

  /** No-op when it is not bound. */
  async close(): Promise<void> {
    const socket = this.#socket
    this.#socket = undefined
    await new Promise<void>((resolve) => (socket ? socket.close(() => resolve()) : resolve()))
  }
}
