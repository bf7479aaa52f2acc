import { appendFileSync, readFileSync, renameSync, statSync } from 'node:fs'
import { request as secure } from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'
import { request as plain } from '../../lib/node-http.ts'
import type { Answer, Call, Platform } from './platform.ts'

/** The plugin on Node. */
export const nodePlatform: Platform = {
  environment: (name) => process.env[name],
  input: () => readFileSync(0, 'utf8'),
  print: (text) => void process.stdout.write(text),
  read: (path) => readFileSync(path, 'utf8'),
  append: (path, text) => appendFileSync(path, text, { mode: 0o600 }),
  size: (path) => statSync(path, { throwIfNoEntry: false })?.size ?? 0,
  rename: renameSync,
  // Loaded only when it is needed: it costs start-up time.
  parseYaml: async (text) => (await import('yaml')).parse(text),
  pause: (ms) => delay(ms),
  overUnixSocket: (socketPath, call) =>
    exchange((options, onResponse) => plain({ ...options, socketPath, host: 'unix' }, onResponse), call),
  overTls: (host, port, ca, call) =>
    exchange((options, onResponse) => secure({ ...options, host, port, ...(ca ? { ca } : {}) }, onResponse), call),
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
