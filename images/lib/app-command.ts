import { doRequest } from './app-client.ts'
import type { ClientRequest, ClientResult } from './app-protocol.ts'

const protocols: readonly unknown[] = ['http', 'http2', 'tcp', 'udp', 'dns'] satisfies ClientRequest['protocol'][]
const exchanges: readonly unknown[] = [
  'echo',
  'client-half-close',
  'server-half-close',
  'server-first',
  'bulk',
] satisfies ClientRequest['exchange'][]

/** Does what a line of the control socket says. Never rejects. */
export async function answerClient(line: string): Promise<ClientResult> {
  const command = parseCommand(line)
  if ('request' in command) return doRequest(command.request)
  const at = performance.timeOrigin + performance.now()
  const error = { code: 'EBADREQUEST', message: command.problem, phase: 'resolve' } as const
  return { id: command.id, ok: false, error, startedAt: at, endedAt: at }
}

/** A command line as it came: the request, or why it is none, with the id as far as it can be read (else empty). */
export type Command = { readonly request: ClientRequest } | { readonly id: string; readonly problem: string }

/** Reads one line of the control socket. Unknown fields are ignored. */
export function parseCommand(line: string): Command {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    return { id: '', problem: `not JSON: ${(error as Error).message}` }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { id: '', problem: 'not a JSON object' }
  const { id, protocol, host, port, body, timeoutMs, exchange = 'echo', question, tunnel } = value as Record<string, unknown>
  const known = typeof id === 'string' ? id : ''
  const problems = [
    known === '' && 'id must be a string that is not empty',
    !protocols.includes(protocol) && `protocol must be one of ${protocols.join(', ')}, is ${JSON.stringify(protocol)}`,
    !exchanges.includes(exchange) && `exchange must be one of ${exchanges.join(', ')}, is ${JSON.stringify(exchange)}`,
    protocol === 'dns' && typeof question !== 'object' && `question must be { name, transport }, is ${JSON.stringify(question)}`,
    (typeof host !== 'string' || host === '') && `host must be an address or a name, is ${JSON.stringify(host)}`,
    !within(port, 1, 65_535) && `port must be a whole number from 1 to 65535, is ${JSON.stringify(port)}`,
    typeof body !== 'string' && 'body must be a string',
    !within(timeoutMs, 1, 3_600_000) && `timeoutMs must be a whole number from 1 to 3600000, is ${JSON.stringify(timeoutMs)}`,
    tunnel !== undefined &&
      !isTunnel(tunnel) &&
      'tunnel must have an endpoint, a server, and a certificate of chainPem, keyPem and rootPem',
  ].filter((x) => x !== false)
  return problems.length > 0 ? { id: known, problem: problems.join('; ') } : { request: value as ClientRequest }
}

function isTunnel(tunnel: unknown): boolean {
  const { endpoint, server, certificate } = (tunnel ?? {}) as Record<string, unknown>
  const { chainPem, keyPem, rootPem } = (certificate ?? {}) as Record<string, unknown>
  return [endpoint, server, chainPem, keyPem, rootPem].every((text) => typeof text === 'string' && text !== '')
}

function within(value: unknown, low: number, high: number): boolean {
  return Number.isInteger(value) && (value as number) >= low && (value as number) <= high
}
