import { doRequest } from '../lib/app-client.ts'
import { type ClientResult, clientSocket } from '../lib/app-protocol.ts'
import { listenForLines } from '../lib/line-server.ts'
import { parseCommand } from './command.ts'

// A client that sleeps until it is told to do a request. SLEEP_SOCKET: another control socket, for tests.
const path = process.env.SLEEP_SOCKET ?? clientSocket

async function answer(line: string): Promise<ClientResult> {
  const command = parseCommand(line)
  if ('request' in command) return doRequest(command.request)
  const at = performance.timeOrigin + performance.now()
  const error = { code: 'EBADREQUEST', message: command.problem, phase: 'resolve' } as const
  return { id: command.id, ok: false, error, startedAt: at, endedAt: at }
}

process.on('SIGTERM', () => process.exit(0))
process.on('SIGINT', () => process.exit(0))
await listenForLines(path, answer)
console.log(JSON.stringify({ event: 'listening', path }))
