import { request as secure } from 'node:https'
import { request as plain } from '../../lib/node-http.ts'

export interface Answer {
  readonly status: number
  readonly body: string
}

interface Call {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly timeoutMs: number
}

/** One HTTP request over a UNIX stream socket. Rejects with the system's error, or after the time-out. */
export function overUnixSocket(socketPath: string, call: Call): Promise<Answer> {
  return exchange((options, onResponse) => plain({ ...options, socketPath, host: 'unix' }, onResponse), call)
}

/** One HTTPS request. @param server `https://HOST:PORT` @param ca PEM; undefined: the system's roots */
export function overTls(server: string, ca: string | undefined, call: Call): Promise<Answer> {
  const { protocol, hostname, port } = new URL(server)
  if (protocol !== 'https:') throw new TypeError(`API server ${server}: expected an https URL`)
  const target = { host: hostname.replace(/^\[|\]$/g, ''), port: port || 443, ...(ca ? { ca } : {}) }
  return exchange((options, onResponse) => secure({ ...options, ...target }, onResponse), call)
}

type Start = (
  options: { method: string; path: string; headers: Record<string, string | number>; agent: false },
  onResponse: (response: import('node:http').IncomingMessage) => void,
) => import('node:http').ClientRequest

function exchange(start: Start, call: Call): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const body = call.body ?? ''
    const headers = { ...call.headers, ...(call.method === 'POST' ? { 'content-length': Buffer.byteLength(body) } : {}) }
    const request = start({ method: call.method, path: call.path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.once('error', fail)
      response.once('end', () => {
        clearTimeout(timer)
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() })
      })
    })
    const fail = (error: Error) => {
      clearTimeout(timer)
      reject(error)
    }
    const timer = setTimeout(() => request.destroy(new Error(`no answer within ${call.timeoutMs} ms`)), call.timeoutMs)
    request.once('error', fail)
    request.end(body)
  })
}
