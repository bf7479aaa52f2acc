import { chmodSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import type { IncomingMessage, Server } from 'node:http'
import { join } from 'node:path'
import { createServer } from '../../lib/node-http.ts'
import { ownFile } from '../../lib/own-file.ts'
import type { Log } from '../redirect/redirection.ts'
import { type AddEvent, type EventIp, runFiles } from '../shared/event.ts'

/** Largest request body, bytes: an ADD event or a batch of log lines is far smaller. */
const maxBody = 1024 * 1024

export interface PluginServerOptions {
  /** The run directory; both sockets are made in it. */
  readonly directory: string
  /** Enrols a pod. @throws Error whose message goes to the container runtime */
  readonly onAdd: (event: AddEvent) => Promise<void>
  /** Where the plugin's own lines go. */
  readonly pluginLog: Log
  /** Counts requests by the status they got. */
  readonly onAnswer?: (status: number) => void
}

/** A request body that is no ADD event. */
export class BadEvent extends Error {}

/** The two sockets that the plugin speaks HTTP to: events (`POST /cmdadd`) and its log lines (`POST /log`). */
export class PluginServer {
  readonly #options: PluginServerOptions
  readonly #servers: { readonly server: Server; readonly remove: () => void }[] = []

  constructor(options: PluginServerOptions) {
    this.#options = options
  }

  async listen(): Promise<void> {
    const { directory, onAnswer } = this.#options
    mkdirSync(directory, { recursive: true, mode: 0o750 })
    const events = createServer(async (request, response) => {
      const { status, text } = await this.#event(request)
      onAnswer?.(status)
      response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(text)
    })
    const logs = createServer(async (request, response) => {
      const status = await this.#log(request)
      response.writeHead(status).end()
    })
    await this.#bind(events, join(directory, runFiles.eventSocket))
    await this.#bind(logs, join(directory, runFiles.logSocket))
  }

  async #bind(server: Server, path: string): Promise<void> {
    // Node removes the path that it was given when the server closes, whosever socket is there by then. So it is given another.
    const temporary = `${path}.${process.pid}`
    rmSync(temporary, { force: true })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(temporary, resolve)
    })
    chmodSync(temporary, 0o666)
    renameSync(temporary, path)
    this.#servers.push({ server, remove: ownFile(path) })
  }

  async #event(request: IncomingMessage): Promise<{ status: number; text: string }> {
    if (request.method !== 'POST' || request.url !== '/cmdadd') return { status: 404, text: 'expected POST /cmdadd\n' }
    try {
      await this.#options.onAdd(parseEvent(await bodyOf(request)))
      return { status: 200, text: '' }
    } catch (error) {
      return { status: error instanceof BadEvent ? 400 : 500, text: `${(error as Error).message}\n` }
    }
  }

  async #log(request: IncomingMessage): Promise<number> {
    try {
      const lines: unknown = JSON.parse(await bodyOf(request))
      if (!Array.isArray(lines)) return 400
      for (const line of lines) this.#logLine(String(line))
      return 200
    } catch {
      return 400
    }
  }

  #logLine(text: string): void {
    const { level, time: _, msg, ...fields } = JSON.parse(text) as Record<string, string>
    const { pluginLog } = this.#options
    const at = level === 'debug' || level === 'warn' || level === 'error' ? level : 'info'
    pluginLog[at](msg ?? '', fields)
  }

  /** Stops listening and removes its sockets; requests that are being worked on are cut. */
  async close(): Promise<void> {
    await Promise.all(
      this.#servers.map(({ server, remove }) => {
        remove()
        server.closeAllConnections()
        return new Promise((resolve) => server.close(resolve))
      }),
    )
  }
}

/** @throws BadEvent naming what is missing or wrong */
export function parseEvent(body: string): AddEvent {
  if (body.trim() === '') throw new BadEvent('empty request body: expected an ADD event as JSON')
  let value: Record<string, unknown>
  try {
    value = JSON.parse(body)
  } catch (error) {
    throw new BadEvent(`the request body is no JSON: ${(error as Error).message}`)
  }
  if (typeof value !== 'object' || value === null) throw new BadEvent('the request body is no JSON object')
  const text = (key: string) => {
    const found = value[key]
    if (typeof found !== 'string' || found === '') throw new BadEvent(`ADD event: ${key} is missing or no string`)
    return found
  }
  const ips = value.IPs ?? []
  if (!Array.isArray(ips) || !ips.every((ip: unknown) => typeof (ip as EventIp | null)?.Address?.IP === 'string'))
    throw new BadEvent('ADD event: IPs must be a list of {Interface, Address: {IP, Mask}, Gateway}')
  return { Netns: text('Netns'), PodName: text('PodName'), PodNamespace: text('PodNamespace'), IPs: ips }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    size += (chunk as Buffer).length
    if (size > maxBody) throw new BadEvent(`the request body is longer than ${maxBody} bytes`)
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString()
}
