import { answerClient } from '../lib/app-command.ts'
import { clientSocket } from '../lib/app-protocol.ts'
import { listenForLines, type Tell } from '../lib/line-server.ts'
import { Loads } from './load.ts'
import { parseLoadLine } from './load-command.ts'

// A client that sleeps until it is told to do a request, or a load of them. SLEEP_SOCKET: another control socket, for tests.
const path = process.env.SLEEP_SOCKET ?? clientSocket
const loads = new Loads()

async function answer(line: string, tell: Tell): Promise<object> {
  const load = parseLoadLine(line)
  if (!load) return answerClient(line)
  if ('start' in load) return loads.start(load.start, tell)
  return 'stop' in load ? loads.stop(load.stop) : { id: load.id, ok: false, error: load.problem }
}

process.on('SIGTERM', () => process.exit(0))
process.on('SIGINT', () => process.exit(0))
await listenForLines(path, answer)
console.log(JSON.stringify({ event: 'listening', path }))
