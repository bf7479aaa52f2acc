import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer } from './node-http.ts'

interface Page {
  readonly status: number
  readonly text: string
}

/** A port with a few fixed paths, each answered with plain text. */
export class TextServer {
  readonly #server: Server

  /** @param pages path → what to answer with, asked for each request */
  constructor(pages: Readonly<Record<string, () => Page>>) {
    this.#server = createServer((request, response) => {
      const path = (request.url ?? '').split('?', 1)[0] ?? ''
      const page = Object.hasOwn(pages, path) ? pages[path] : undefined
      const { status, text } = page?.() ?? { status: 404, text: 'not found\n' }
      response.writeHead(status, { 'content-type': 'text/plain; version=0.0.4' }).end(text)
    })
  }

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
