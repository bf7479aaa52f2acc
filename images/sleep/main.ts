import { doRequest } from '../lib/app-client.ts'
import { type ClientResult, clientSocket } from '../lib/app-protocol.ts'
import { listenForLines, type Tell } from '../lib/line-server.ts'
import { parseCommand } from './command.ts'
import { Loads } from './load.ts'
import { parseLoadLine } from './load-command.ts'

// A client that sleeps until it is told to do a request, or a load of them. SLEEP_SOCKET: another control socket, for tests.
const path = process.env.SLEEP_SOCKET ?? clientSocket

const loads = new Loads()

async function answer(line: string, tell: Tell): Promise<object> {
  const load = parseLoadLine(line)
  if (!load) return request(line)
  if ('start' in load) return loads.start(load.start, tell)
  return 'stop' in load ? loads.stop(load.stop) : { id: load.id, ok: false, error: load.problem }
}

async function request(line: string): Promise<ClientResult> {
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
