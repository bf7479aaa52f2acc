import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer } from '../lib/node-http.ts'
import { ports } from './config.ts'
import type { Log } from './log.ts'
import { type LogLevel, logLevels } from './log-filter.ts'

/** What ztunnel's own HTTP ports serve. */
export interface AdminSources {
  readonly dump: () => unknown
  readonly metrics: () => string
  /** Names of what is not ready yet; empty: ready. */
  readonly pending: () => readonly string[]
  readonly level: { level: LogLevel }
  readonly quit: () => void
}

type Handler = (request: IncomingMessage, url: URL) => { status: number; type?: string; body: string }

const text = 'text/plain; charset=utf-8'

/**
 * Opens ztunnel's own ports in its own namespace: admin (localhost), metrics, readiness. A loopback address or IPv6 that does not exist is left out.
 * @throws Error naming the port when it cannot be opened at all
 */
export async function openAdmin(sources: AdminSources, log: Log): Promise<{ close(): void }> {
  const servers: Server[] = []
  const open = async (port: number, hosts: readonly (readonly string[])[], handler: Handler) => {
    for (const alternatives of hosts) servers.push(await listen(port, alternatives, handler))
  }
  const admin = adminHandler(sources, log)
  try {
    await open(ports.admin, [['127.0.0.1']], admin)
    await open(ports.admin, [['::1']], admin).catch((error: Error) =>
      log('debug', 'admin', 'no admin port on [::1]', { error: error.message }),
    )
    await open(ports.stats, [['::', '0.0.0.0']], (_r, url) =>
      url.pathname === '/metrics' || url.pathname === '/stats/prometheus'
        ? { status: 200, type: 'application/openmetrics-text;charset=utf-8;version=1.0.0', body: sources.metrics() }
        : notFound,
    )
    await open(ports.readiness, [['::', '0.0.0.0']], (_r, url) => {
      if (url.pathname !== '/healthz/ready') return notFound
      const pending = sources.pending()
      return pending.length === 0 ? { status: 200, body: 'ready\n' } : { status: 500, body: `not ready, pending: ${pending.join(', ')}\n` }
    })
  } catch (error) {
    for (const server of servers) server.close()
    throw error
  }
  return {
    close() {
      for (const server of servers) {
        server.close()
        server.closeAllConnections()
      }
    },
  }
}

const notFound = { status: 404, body: 'Not Found\n' }

function adminHandler(sources: AdminSources, log: Log): Handler {
  return (request, url) => {
    const { method } = request
    const post = { status: 405, body: 'Invalid HTTP method: use POST\n' }
    switch (url.pathname) {
      case '/':
        return { status: 200, body: 'config_dump\nlogging (POST ?level=)\nquitquitquit (POST)\n' }
      case '/config_dump':
        return { status: 200, type: 'application/json', body: `${JSON.stringify(sources.dump(), undefined, 2)}\n` }
      case '/logging': {
        if (method !== 'POST') return post
        const asked = url.searchParams.get('level')
        const level = logLevels.find((l) => l === asked)
        if (asked !== null && !level) return { status: 400, body: `level=${asked}: one of ${logLevels.join(', ')}\n` }
        if (level) sources.level.level = level
        return { status: 200, body: `current log level is ${sources.level.level}\n` }
      }
      case '/quitquitquit':
        if (method !== 'POST') return post
        log('info', 'admin', 'quitquitquit called')
        sources.quit()
        return { status: 200, body: 'shutdown now\n' }
      default:
        return notFound
    }
  }
}

async function listen(port: number, hosts: readonly string[], handler: Handler): Promise<Server> {
  const server = createServer((request, response) => respond(request, response, handler))
  server.requestTimeout = 10_000
  let failure: Error | undefined
  for (const host of hosts) {
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen({ port, host, backlog: 128 }, () => {
          server.off('error', reject)
          resolve()
        })
      })
      return server
    } catch (error) {
      failure = error as Error
    }
  }
  throw new Error(`port ${port} cannot be opened: ${failure?.message}`)
}

function respond(request: IncomingMessage, response: ServerResponse, handler: Handler): void {
  request.resume()
  const url = URL.parse(request.url ?? '/', 'http://ztunnel')
  const answer = url ? handler(request, url) : { status: 400, body: 'Bad Request\n' }
  const headers = { 'content-type': 'type' in answer && answer.type ? answer.type : text, 'content-length': Buffer.byteLength(answer.body) }
  response.writeHead(answer.status, headers).end(answer.body)
}
