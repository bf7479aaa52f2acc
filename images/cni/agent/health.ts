import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** The agent's health port: `/healthz` while it runs, `/readyz` when pods can be enrolled. */
export class Health {
  ready = false
  readonly #server = createServer((request, response) => {
    const known = request.url === '/healthz' || request.url === '/readyz'
    const status = known ? (request.url === '/healthz' || this.ready ? 200 : 503) : 404
    response
      .writeHead(status, { 'content-type': 'text/plain' })
      .end(status === 200 ? 'ok\n' : status === 503 ? 'not ready\n' : 'not found\n')
  })

  /** @param port 0: any free one @returns the port */
  async listen(port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, resolve)
    })
    return (this.#server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
