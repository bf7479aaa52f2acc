import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { createInterface } from 'node:readline'
import type { KubeObject } from './objects.ts'

export interface ApiAccess {
  /** Such as `https://10.96.0.1:443`. */
  readonly server: string
  readonly caFile: string
  /** Read again for each request: tokens are renewed in place. */
  readonly tokenFile: string
}

/** What the API server said no to. */
export class ApiError extends Error {
  override name = 'ApiError'
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'
  readonly object: T
}

export interface List<T> {
  readonly items: T[]
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string }
}

/** A whole answer comes within this time, milliseconds; a watch may be silent for longer. */
const answerMs = 30_000

/** As much of a Kubernetes client as the control plane needs; the official one takes half a second of processor time to load. */
export class KubeClient {
  readonly #access: ApiAccess
  readonly #agent: Agent

  constructor(access: ApiAccess) {
    this.#access = access
    this.#agent = new Agent({ keepAlive: true, keepAliveMsecs: 30_000, ca: readFileSync(access.caFile) })
  }

  /** @throws ApiError; Error when there is no connection or no answer in time */
  async json<T>(method: string, path: string, body?: unknown, contentType = 'application/json'): Promise<T> {
    const signal = AbortSignal.timeout(answerMs)
    const response = await this.#send(method, path, signal, body, contentType)
    const text = await textOf(response)
    const code = response.statusCode ?? 0
    if (code < 200 || code > 299) throw new ApiError(code, messageOf(text) || `${method} ${path}: HTTP ${code}`)
    return JSON.parse(text) as T
  }

  /**
   * The events of a watch, until the server ends it.
   * @param silentMs a watch of which nothing is heard for this long is given up: its connection may be gone
   */
  async *watch<T extends KubeObject>(path: string, signal: AbortSignal, silentMs: number): AsyncGenerator<WatchEvent<T>> {
    const response = await this.#send('GET', path, signal)
    if (response.statusCode !== 200) throw new ApiError(response.statusCode ?? 0, messageOf(await textOf(response)) || `GET ${path}`)
    response.setTimeout(silentMs, () => response.destroy(new Error(`nothing was heard for ${silentMs / 1000} s`)))
    const abort = () => response.destroy()
    signal.addEventListener('abort', abort)
    try {
      const lines = createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })
      // Reading lines ends in silence whatever ended the response.
      let broken: Error | undefined
      response.once('error', (error) => {
        broken = error
      })
      // Nor does reading end when the response was destroyed here.
      response.once('close', () => lines.close())
      for await (const line of lines) if (line) yield JSON.parse(line) as WatchEvent<T>
      if (broken && !signal.aborted) throw broken
    } finally {
      signal.removeEventListener('abort', abort)
      response.destroy()
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  async #send(
    method: string,
    path: string,
    signal: AbortSignal,
    body?: unknown,
    contentType = 'application/json',
  ): Promise<IncomingMessage> {
    const payload = body === undefined ? undefined : JSON.stringify(body)
    const headers = {
      accept: 'application/json',
      authorization: `Bearer ${(await readFile(this.#access.tokenFile, 'utf8')).trim()}`,
      'user-agent': 'everyhop-discovery',
      ...(payload === undefined ? {} : { 'content-type': contentType, 'content-length': String(Buffer.byteLength(payload)) }),
    }
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const sent = request(new URL(path, this.#access.server), { method, agent: this.#agent, headers, signal }, resolve)
    sent.on('error', reject)
    sent.end(payload)
    return promise
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = ''
  for await (const part of response.setEncoding('utf8')) text += part
  return text
}

function messageOf(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { message?: string }).message
  } catch {
    return text.trim().slice(0, 500) || undefined
  }
}
